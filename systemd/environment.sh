#!/bin/sh
# environment.sh PYTHON WHEEL PREFIX: make the service's Python environment in PREFIX, or upgrade it,
# with its documentation and a configuration to begin from. Called by install.sh and deb.sh.
set -eu
umask 022
python=$1 wheel=$2 prefix=$3
here=$(cd "$(dirname "$0")" && pwd)
docs=$prefix/share/doc/fullpool

[ -x "$prefix/bin/python" ] || "$python" -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    -r "$here/../requirements-service.lock"
"$prefix/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$wheel"
rm -rf "$docs"
mkdir -p "$(dirname "$docs")"
cp -R "$here/../docs" "$docs"
rm "$docs/configuration.md" "$docs/security.md" # pages of the site alone
chmod -R u=rwX,go=rX "$docs"
sed 's#^path = .*#path = "/srv/fullpool"#' "$here/../config/fullpool.toml" >"$docs/fullpool.toml"
