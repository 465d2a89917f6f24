#!/bin/sh
# Installs programs that read what fullpool exports, each in an environment of its own, and runs
# their tests. Usage: programs.sh PYTHON VENV [only-install]
set -eu
python=$1
venv=$(cd "$2" && pwd)
beside() {
    sh tests/support/beside.sh "$python" "$@"
}
beside "$venv/frames" pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.1 \
    'ibis-framework[duckdb]==12.0.0' duckdb-engine==0.17.0 SQLAlchemy==2.1.9 duckdb-cli==1.5.6 .
beside "$venv/freqtrade" freqtrade==2026.9
beside "$venv/nautilus" nautilus_trader==1.221.0 duckdb==2.0.1 .
beside "$venv/programs" vectorbt==1.2.0 backtrader==1.9.78.123 pandas-ta-classic==0.8.32 \
    pyqlib==0.9.7 duckdb==2.0.1 .
test "${3:-}" != only-install || exit 0
FRAMES_PYTHON=$venv/frames/bin/python FREQTRADE_PYTHON=$venv/freqtrade/bin/python \
    NAUTILUS_PYTHON=$venv/nautilus/bin/python PROGRAMS_PYTHON=$venv/programs/bin/python \
    "$venv/bin/python" -m pytest -m programs -rs
