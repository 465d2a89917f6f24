#!/bin/sh
# Installs what the tests of faults inject with: strace and faketime. What is not to be had is skipped.
[ "$(id -u)" = 0 ] || exit 0
for tool in strace faketime; do
    command -v $tool >/dev/null && continue
    DEBIAN_FRONTEND=noninteractive sh -c "apt-get -qq update; apt-get -qq -y install $tool" >/dev/null 2>&1 ||
        echo "faults_tools.sh: $tool cannot be installed; its tests skip" >&2
done
