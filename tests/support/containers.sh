#!/bin/sh
# containers.sh FOLDER VENV: install podman and promtool (as root), and make below FOLDER a base image
# and the wheels that an image is built of without a network. What cannot be done is said, and the
# tests that need it skip. FOLDER is that of systemd_tree.sh.
set -u
folder=$1
venv=$2
say() { echo "containers.sh: $*" >&2; }

if [ "$(id -u)" != 0 ]; then say "NOT RUN: installing podman needs root"; exit 0; fi
mkdir -p "$folder"
export DEBIAN_FRONTEND=noninteractive
for tool in podman runc promtool; do
    command -v "$tool" >/dev/null && continue
    package=$tool
    test "$tool" != promtool || package=prometheus
    say "installing $package"
    { apt-get -qq update && apt-get -qq -y --no-install-recommends install "$package"; } \
        >"$folder/containers.log" 2>&1 || say "NOT RUN: $package cannot be installed"
done
sh tests/support/systemd_tree.sh "$folder"
tree=$folder/bookworm
if [ ! -e "$tree/.made" ] || ! command -v podman >/dev/null; then exit 0; fi
version=$(chroot "$tree" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$venv/bin/python" -m pip download --quiet --disable-pip-version-check --only-binary :all: \
    --python-version "$version" -d "$folder/wheels" hatchling nbclient==0.11.0 ipykernel==7.4.0 ||
    say "NOT RUN: hatchling and what runs a notebook cannot be downloaded"
podman image exists localhost/fullpool-base ||
    tar -C "$tree" -c . | podman import --quiet - localhost/fullpool-base >/dev/null ||
    say "NOT RUN: podman cannot import an image"
