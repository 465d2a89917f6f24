#!/bin/sh
# Makes an environment beside ours, for programs that have no place in it. Usage: beside.sh PYTHON
# FOLDER REQUIREMENT...; `.` is fullpool itself, with what it needs.
set -eu
python=$1
folder=$2
shift 2
test -x "$folder/bin/python" || "$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
