#!/bin/sh
# other_python.sh FOLDER: run the demo and the tests with another Python, in a small Debian below FOLDER
# that has it (as root). VERSION is 3.14, SUITE is forky and TARGETS are "demo test" unless told otherwise.
set -eu
version=${VERSION:-3.14} suite=${SUITE:-forky}
tree=$(pwd)/$1/python-$version
say() { echo "other_python.sh: $*" >&2; }

if [ "$(id -u)" != 0 ]; then say "NOT RUN: a small Debian needs root"; exit 0; fi
mkdir -p "$1"
if ! command -v debootstrap >/dev/null; then
    apt-get -qq update && apt-get -qq -y install debootstrap >"$1/apt.log" 2>&1 ||
        { say "NOT RUN: debootstrap cannot be installed"; exit 0; }
fi
if [ ! -e "$tree/.made" ]; then
    say "making $tree"
    rm -rf "$tree"
    script=/usr/share/debootstrap/scripts/$suite
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid # of a release that is newer than debootstrap
    debootstrap --variant=minbase --include="python$version,python$version-venv,make,ca-certificates" \
        "$suite" "$tree" http://deb.debian.org/debian "$script" >"$1/python.log" 2>&1 ||
        { say "NOT RUN: debootstrap failed; see $1/python.log"; exit 0; }
    touch "$tree/.made"
fi
rm -rf "$tree/root/main"
git clone --quiet . "$tree/root/main"
cp /etc/hosts /etc/resolv.conf "$tree/etc"
cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs" # of a proxy that intercepts, too
export tree version
# In a mount namespace, of which nothing is left at the end.
unshare --mount --propagation private sh -euc '
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    if [ -e ../shared ]; then
        mkdir -p "$tree/root/shared"
        mount --bind ../shared "$tree/root/shared"
    fi
    for target in ${TARGETS:-demo test}; do
        chroot "$tree" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            PIP_CERT=/etc/ssl/certs/ca-certificates.crt make -C /root/main "PYTHON=python$version" "$target"
    done'
