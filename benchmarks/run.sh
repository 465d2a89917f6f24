#!/bin/sh
# Runs every benchmark and writes benchmarks/results. Usage: run.sh PYTHON [NAME...]
set -eu
python=$1
shift
for name in ${*:-small large kinds peers_race urllib_httpx queries rest gaps full rebuild}; do
    "$python" "benchmarks/$name.py"
done
"$python" benchmarks/report.py
