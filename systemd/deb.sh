#!/bin/sh
# deb.sh PYTHON WHEEL: build dist/fullpool_VERSION_ARCH.deb for the Debian that this runs on, and its
# Python. Called by `make deb`.
set -eu
umask 022
python=$(readlink -f "$(command -v "$1")") wheel=$2
here=$(cd "$(dirname "$0")" && pwd)

package=$(dpkg-query --search "$python" 2>/dev/null) ||
    { echo "deb.sh: $python is of no Debian package, which ours could depend on" >&2; exit 1; }
package=${package%%:*}
architecture=$(dpkg --print-architecture)
# Each release of Debian has a package of its own, and the next one's is newer. 1.0~rc1 is before 1.0.
. /etc/os-release
version=$(basename "$wheel" | cut -d- -f2 | sed 's/\(a\|b\|rc\|\.dev\)\([0-9]\)/~\1\2/')+deb$VERSION_ID
# Type=notify-reload came with systemd 253; before it, reload waits for `fullpool reload`.
systemd=252
if dpkg --compare-versions "$(dpkg-query --show --showformat '${Version}' systemd)" ge 253; then systemd=253; fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root=$stage/root prefix=$stage/root/opt/fullpool units=$stage/root/usr/lib/systemd/system
mkdir -p "$prefix" "$units" "$root/DEBIAN" "$root/usr/bin"

sh "$here/environment.sh" "$python" "$wheel" "$prefix"
# Its scripts, and what was compiled, name the place that they will be at.
grep -rlIF "$root" "$prefix/bin" "$prefix/pyvenv.cfg" | xargs sed -i "s#$root##g"
find "$prefix" -name __pycache__ -prune -exec rm -r {} +
"$prefix/bin/python" -m compileall -q -s "$root" -p / "$prefix/lib"
ln -s /opt/fullpool/bin/fullpool "$root/usr/bin/fullpool"

install -D -m 644 "$here/fullpool.sysusers" "$root/usr/lib/sysusers.d/fullpool.conf"
install -m 644 "$here/fullpool.service" "$here/fullpool-web.service" "$here/srv-fullpool.mount" "$units"
if [ "$systemd" -ge 253 ]; then
    install -D -m 644 "$here/notify-reload.conf" "$units/fullpool.service.d/notify-reload.conf"
fi
install -D -m 644 "$here/../LICENSE" "$root/usr/share/doc/fullpool/copyright"

install -m 755 "$here/debian/preinst" "$here/debian/postinst" "$here/debian/prerm" "$here/debian/postrm" "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: fullpool
Version: $version
Architecture: $architecture
Maintainer: The fullpool authors <fullpool@users.noreply.github.com>
Installed-Size: $(du -sk "$root" | cut -f1)
Depends: $package, ${package%-minimal}, libc6, libstdc++6, ca-certificates, systemd (>= $systemd)
Section: database
Priority: optional
Homepage: https://github.com/fullpool/fullpool
Description: keeps a DuckDB/Parquet lake in sync with Binance's public market data
 A service that fetches the daily and monthly archives of Binance Vision, fills
 gaps from the REST API, and records what is missing and why. The lake is read
 with DuckDB, or any reader of Parquet, while it is written.
CONTROL
dpkg-deb --root-owner-group -Zzstd --build "$root" "$(dirname "$wheel")/fullpool_${version}_$architecture.deb"
