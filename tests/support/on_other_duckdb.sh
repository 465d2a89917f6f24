#!/bin/sh
# Opens a lake with DuckDB 1.1.3, 1.5.6 and 2.0.1 clients, then runs the tests that use DuckDB on the
# oldest version that fullpool itself supports. Usage: on_other_duckdb.sh PYTHON VENV
set -eu
python=$1
venv=$(cd "$2" && pwd)
for version in 1.1.3 1.5.6 2.0.1; do
    client=$venv/duckdb/$version
    test -x "$client/bin/python" || "$python" -m venv "$client"
    "$client/bin/python" -m pip install --quiet --disable-pip-version-check "duckdb==$version"
done
DUCKDB_CLIENTS=$venv/duckdb "$venv/bin/python" -m pytest -m duckdb_clients

oldest=$venv/oldest
test -x "$oldest/bin/python" || "$python" -m venv "$oldest"
grep -v '^duckdb==' requirements.lock | sed '/^    --hash/d; s/ \\$//' >"$oldest/requirements.txt"
"$oldest/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    -r "$oldest/requirements.txt" duckdb==1.5.6
"$oldest/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --no-build-isolation -e .
"$oldest/bin/python" -m pytest -n auto tests/integration/test_sync.py tests/integration/test_state.py tests/integration/test_catalogue.py \
    tests/integration/test_revisions.py
"$oldest/bin/python" -m pytest -n auto tests/integration/test_gapless.py tests/integration/test_care.py \
    -k "outage or late or rebuil or repair or republished or sound"
