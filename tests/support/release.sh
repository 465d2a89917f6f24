#!/bin/sh
# release.sh PYTHON VENV: build into dist what is released: the sdist, the wheel, the image where podman is,
# a bill of materials of what the service is installed with, and the checksums of all.
set -eu
python=$1
venv=$2
version=$("$venv/bin/python" -c 'import fullpool; print(fullpool.__version__)')
rm -rf dist
"$venv/bin/python" -m hatchling build -d dist >/dev/null
sh tests/support/beside.sh "$python" "$venv/release" cyclonedx-bom==7.5.0
"$venv/release/bin/cyclonedx-py" requirements --pyproject pyproject.toml --output-reproducible \
    --output-file "dist/fullpool-$version.cdx.json" requirements-service.lock
if command -v podman >/dev/null && podman build --quiet ${BASE:+--build-arg "BASE=$BASE"} \
    --format docker --tag "fullpool:$version" . >/dev/null; then
    podman save --quiet --format docker-archive "fullpool:$version" | gzip -n >"dist/fullpool-$version-image.tar.gz"
else
    echo "release.sh: NOT BUILT: the image needs podman and its base image" >&2
fi
# It does not know versions that are read from the code.
"$venv/bin/python" - "dist/fullpool-$version.cdx.json" "$version" <<'EOF'
import json, pathlib, sys
file, version = pathlib.Path(sys.argv[1]), sys.argv[2]
document = json.loads(file.read_text())
document["metadata"]["component"]["version"] = version
file.write_text(json.dumps(document, indent=1) + "\n")
EOF
(cd dist && sha256sum -- * >SHA256SUMS)
ls -l dist
