#!/bin/sh
# Installs what the tests of faults inject with. What is not to be had is skipped.
[ "$(id -u)" = 0 ] || exit 0
install() {
    DEBIAN_FRONTEND=noninteractive sh -c "apt-get -qq update; apt-get -qq -y install $1" >/dev/null 2>&1 ||
        echo "faults_tools.sh: $1 cannot be installed; its tests skip" >&2
}
command -v strace >/dev/null || install strace
command -v faketime >/dev/null || install faketime
command -v mkfs.btrfs >/dev/null || install btrfs-progs
ldconfig -p | grep -q libfuse.so.2 || install libfuse2
command -v squid >/dev/null || install squid-openssl
