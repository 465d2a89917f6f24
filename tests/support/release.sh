#!/bin/sh
# release.sh PYTHON VENV: build into dist what is released: the sdist, the wheel, the image where podman is,
# a bill of materials of what the service is installed with, and the checksums of all.
set -eu
python=$1
venv=$(cd "$2" && pwd -P) # scripts of an environment name the place it was made at
version=$("$venv/bin/python" -c 'import fullpool; print(fullpool.__version__)')
rm -rf dist
"$venv/bin/python" -m hatchling build -d dist >/dev/null
sh tests/support/beside.sh "$python" "$venv/release" cyclonedx-bom==7.5.0
"$venv/release/bin/cyclonedx-py" requirements --pyproject pyproject.toml --output-reproducible \
    --output-file "dist/fullpool-$version.cdx.json" requirements-service.lock
base=${BASE:-docker.io/library/python:3.13-slim}
if ! command -v podman >/dev/null; then
    echo "release.sh: NOT BUILT: the image needs podman" >&2
elif ! podman image exists "$base" && ! podman pull --quiet "$base" >/dev/null 2>&1; then
    echo "release.sh: NOT BUILT: the image needs $base, which cannot be pulled" >&2
else
    # shellcheck disable=SC2086 # options of podman, with blanks between
    podman build --quiet --build-arg "BASE=$base" ${BUILD_OPTIONS:-} --format docker --tag "fullpool:$version" .
    podman save --quiet --format docker-archive --output "dist/fullpool-$version-image.tar" "fullpool:$version"
    gzip -n "dist/fullpool-$version-image.tar"
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
