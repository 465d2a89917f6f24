#!/bin/sh
# systemd_tree.sh FOLDER: make a small Debian with systemd and Python below FOLDER, once, and fetch
# what the service needs to be installed in it offline. Where that cannot be done it says so, and the
# tests skip. SUITE=trixie has systemd 257, which reloads by itself; the default, bookworm, has 252.
set -u
folder=$1 suite=${SUITE:-bookworm}
say() { echo "systemd_tree.sh: $*" >&2; }

if [ "$(id -u)" != 0 ]; then say "NOT RUN: a container needs root"; exit 0; fi
mkdir -p "$folder"
if ! command -v systemd-nspawn >/dev/null || ! command -v debootstrap >/dev/null; then
    say "installing systemd-container and debootstrap"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq -y install systemd-container debootstrap; } >"$folder/apt.log" 2>&1 ||
        { say "NOT RUN: systemd-container and debootstrap cannot be installed"; exit 0; }
fi
if [ ! -e "$folder/$suite/.made" ]; then
    say "making $folder/$suite"
    rm -rf "${folder:?}/$suite"
    debootstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,python3,python3-venv,procps \
        "$suite" "$folder/$suite" >"$folder/debootstrap.log" 2>&1 ||
        { say "NOT RUN: debootstrap failed; see $folder/debootstrap.log"; exit 0; }
    echo "127.0.0.1 localhost" >"$folder/$suite/etc/hosts"
    touch "$folder/$suite/.made"
fi
version=$(chroot "$folder/$suite" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
.venv/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes \
    --only-binary :all: --python-version "$version" -r requirements-service.lock -d "$folder/wheels" ||
    { say "NOT RUN: the packages cannot be downloaded"; rm -rf "$folder/wheels"; }
