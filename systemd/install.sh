#!/bin/sh
# install.sh PYTHON WHEEL: install fullpool below /opt/fullpool and its service, or upgrade them.
# Keeps the configuration that is there. Called by `make install-service`, as root.
set -eu
umask 022
python=$1 wheel=$2
here=$(cd "$(dirname "$0")" && pwd)
prefix=/opt/fullpool units=/etc/systemd/system

[ "$(id -u)" = 0 ] || { echo "install.sh: must be run as root" >&2; exit 1; }

if dpkg-query --show --showformat '${db:Status-Status}' fullpool 2>/dev/null | grep -qx installed; then
    echo "install.sh: fullpool is installed as a Debian package: upgrade that, or apt remove it first" >&2
    exit 1
fi

# A running daemon would have its workers load the new version beside its own old one.
running=$(systemctl is-active fullpool.service || true)
shown=$(systemctl is-active fullpool-web.service || true)
if [ "$running" = active ]; then systemctl stop fullpool.service; fi

echo "installing fullpool into $prefix"
sh "$here/environment.sh" "$python" "$wheel" $prefix

if [ ! -e /etc/fullpool/fullpool.toml ]; then
    echo "writing /etc/fullpool/fullpool.toml"
    install -D -m 644 $prefix/share/doc/fullpool/fullpool.toml /etc/fullpool/fullpool.toml
fi

echo "installing the service"
install -D -m 644 "$here/fullpool.sysusers" /etc/sysusers.d/fullpool.conf
systemd-sysusers /etc/sysusers.d/fullpool.conf
install -m 644 "$here/fullpool.service" "$here/fullpool-web.service" "$here/srv-fullpool.mount" $units
# Type=notify-reload came with systemd 253; before it, reload waits for `fullpool reload`.
version=$(systemctl --version | awk 'NR == 1 { print int($2) }')
if [ "$version" -ge 253 ]; then
    install -D -m 644 "$here/notify-reload.conf" $units/fullpool.service.d/notify-reload.conf
fi
systemctl daemon-reload
systemctl --quiet enable fullpool.service srv-fullpool.mount
if [ "$running" = active ]; then systemctl start fullpool.service; fi
if [ "$shown" = active ]; then systemctl restart fullpool-web.service; fi
cat <<'DONE'
installed. Say what to keep in /etc/fullpool/fullpool.toml, then:
    /opt/fullpool/bin/fullpool check /etc/fullpool/fullpool.toml
    systemctl start fullpool
    systemctl status fullpool
To look at the lake in a browser, at http://127.0.0.1:8787/:
    systemctl enable --now fullpool-web
DONE
