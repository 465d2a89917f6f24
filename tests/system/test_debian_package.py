"""The Debian package in a container with a real systemd: one story, told in order."""

from collections.abc import Iterator
from datetime import date

import pytest

from fullpool.simulator import generate, spec_from
from served import dataset
from systemd_box import Box, booted, write

pytestmark = [pytest.mark.systemd, pytest.mark.xdist_group("systemd")]

SERIES, FIRST, LAST = "spot/klines/AUSDT/1h", date(2024, 6, 1), date(2024, 6, 20)
INSTALL = "apt-get install --yes --quiet /src/dist/fullpool_*.deb"
ENABLED = "ls /etc/systemd/system/multi-user.target.wants | grep -c fullpool || true"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("debian")
    bucket = folder / "vendor" / "bucket"
    list(generate(bucket, spec_from(SERIES, FIRST, LAST)))
    with booted(folder) as one:
        one.run(
            "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels sh /src/systemd/deb.sh /usr/bin/python3"
            " /src/dist/*.whl"
        )
        yield one


def test_an_installation_without_package_is_not_replaced(box: Box) -> None:
    box.run("mkdir -p /opt/fullpool/bin && touch /opt/fullpool/bin/fullpool")
    refused = box.run(INSTALL, check=False)
    box.run("rm -r /opt/fullpool && dpkg --purge fullpool")

    assert refused.returncode != 0
    assert "Uninstall that first" in refused.stdout + refused.stderr


def test_package_installs_program_and_units(box: Box) -> None:
    done = box.run(INSTALL)

    assert "then: systemctl start fullpool" in done.stdout
    assert box.out("fullpool --version").startswith("fullpool ")
    assert box.shown("UnitFileState") == "enabled"
    assert box.shown("ActiveState") == "inactive"
    assert box.out("systemd-analyze verify fullpool.service fullpool-web.service") == ""
    assert box.out("dpkg --verify fullpool") == ""
    box.run("fullpool check /etc/fullpool/fullpool.toml && useradd -G fullpool-readers alice")


def test_packaged_service_fills_a_lake(box: Box) -> None:
    box.run("systemd-run --unit vendor fullpool simulator /vendor/bucket && sleep 2")
    write(box, dataset(SERIES, start=str(FIRST), end=str(LAST)))
    box.run("systemctl start fullpool")

    box.until(lambda: box.rows("klines") == 20 * 24)


def test_an_upgrade_starts_what_was_running(box: Box) -> None:
    before = box.shown("MainPID")
    box.run(
        "dpkg-deb --raw-extract /src/dist/fullpool_*.deb /tmp/new"
        " && sed -i 's/^Version: .*/&.1/' /tmp/new/DEBIAN/control"
        " && sed -i '1s/^/# anew\\n/' /tmp/new/opt/fullpool/share/doc/fullpool/fullpool.toml"
        " && dpkg-deb -Znone --build /tmp/new /tmp/new.deb"
        " && dpkg --install /tmp/new.deb </dev/null"
    )

    assert box.shown("ActiveState") == "active"
    assert box.shown("MainPID") != before
    assert SERIES.split("/")[2] in box.out("cat /etc/fullpool/fullpool.toml")
    assert box.rows("klines") == 20 * 24


def test_removal_leaves_lake_and_configuration(box: Box) -> None:
    said = box.run("cd /srv/fullpool && dpkg --remove fullpool")

    assert "The lake stays in /var/lib/private/fullpool." in said.stdout
    assert "/srv/fullpool is in use" in said.stderr
    units = "systemctl list-unit-files --no-legend --state enabled 'fullpool*'"
    assert box.run(units, check=False).stdout == ""
    left = "ls -d /opt/fullpool /usr/bin/fullpool /etc/fullpool/fullpool.toml"
    assert box.run(left, check=False).stdout == "/etc/fullpool/fullpool.toml\n"
    box.run("test -e /var/lib/private/fullpool/lake/lake.duckdb")


def test_installed_again_it_is_still_enabled(box: Box) -> None:
    box.run("dpkg --install /tmp/new.deb </dev/null")

    assert box.shown("UnitFileState") == "enabled"
    assert "AUSDT" in box.out("cat /etc/fullpool/fullpool.toml")


def test_purging_removes_all_but_the_lake(box: Box) -> None:
    without_systemd = "mount -t tmpfs none /run/systemd && dpkg --purge fullpool"
    box.run(f"unshare --mount bash -c '{without_systemd}'")

    assert box.run("ls -d /etc/fullpool", check=False).returncode != 0
    assert box.out(ENABLED) == "0"
    box.run("test -e /var/lib/private/fullpool/lake/lake.duckdb")
