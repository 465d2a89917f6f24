#!/bin/sh
# Runs mutmut over the pure modules, whose tests take seconds. Usage: mutants.sh PYTHON VENV [PATTERN...]
# kinds is not among them: its table is built as it is imported, before any change takes effect.
# mutmut wants the code in a folder called src, and writes beside it: so all of it happens in a copy.
set -eu
python=$1
venv=$(pwd)/$2/mutants
shift 2
test -x "$venv/bin/python" || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "mutmut==3.8.1"

work=.cache/mutants
rm -rf "$work"
mkdir -p "$work"
cp -r daemon "$work/src"
cp -r tests config pyproject.toml "$work"
cat >>"$work/pyproject.toml" <<'END'

[tool.mutmut]
source_paths = ["src"]
only_mutate = [
    "src/fullpool/planning.py", "src/fullpool/grouping.py", "src/fullpool/attempts.py", "src/fullpool/stand_ins.py",
    "src/fullpool/ladder.py", "src/fullpool/gaps.py", "src/fullpool/grid.py", "src/fullpool/evidence.py",
    "src/fullpool/revising.py", "src/fullpool/decode.py", "src/fullpool/vendor.py",
    "src/fullpool/jobs.py", "src/fullpool/timing.py", "src/fullpool/model.py",
]
pytest_add_cli_args_test_selection = [
    "tests/unit/test_planning.py", "tests/unit/test_revising.py", "tests/unit/test_stand_ins.py", "tests/unit/test_ladder.py", "tests/unit/test_gaps.py",
    "tests/unit/test_evidence.py", "tests/unit/test_decode.py", "tests/unit/test_vendor_paths.py",
    "tests/unit/test_timing.py", "tests/unit/test_model.py", "tests/integration/test_jobs.py",
]
END
cd "$work"
"$venv/bin/python" -m mutmut run --max-children "$(nproc)" "$@" || true
"$venv/bin/python" -m mutmut results --all true | awk '{ count[$2]++ } END { for (one in count) print count[one], one }'
"$venv/bin/python" -m mutmut results
