#!/bin/sh
# browser.sh VENV: install Chromium and nginx (as root) and, beside ours, what drives a browser.
# What is not to be had is skipped, with its tests.
set -u
venv=$1
export DEBIAN_FRONTEND=noninteractive
for tool in chromium nginx; do
    command -v "$tool" >/dev/null && continue
    package=$tool
    test "$tool" != nginx || package=nginx-light
    [ "$(id -u)" = 0 ] && { apt-get -qq update && apt-get -qq -y --no-install-recommends install "$package"; } \
        >/dev/null 2>&1 || echo "browser.sh: $package cannot be installed; its tests skip" >&2
done
test -e "$venv/browser/playwright" ||
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --target "$venv/browser" \
        playwright==1.65.2 axe-playwright-python==0.1.8 2>/dev/null ||
    echo "browser.sh: playwright cannot be installed; its tests skip" >&2
