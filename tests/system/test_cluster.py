"""Steps done by the workers of a real Dask cluster, and what is killed meanwhile."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import trustme

import fullpool
from dask_cluster import DaskCluster, wait_until
from fullpool.app import verify
from fullpool.errors import Exit
from fullpool.remote.bucket import Bucket
from fullpool.simulator import Fault
from seaweed import credentials, served
from served import ask, sync, tree_of, wait
from world import World

pytestmark = pytest.mark.cluster

EXCHANGE = "exchange"
SOURCES = Path(fullpool.__file__).parents[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A cluster of two workers that no test ends."""
    with DaskCluster(tmp_path_factory.mktemp("dask")) as one:
        one.start_worker()
        one.start_worker()
        yield one


@pytest.fixture
def own(tmp_path: Path) -> Iterator[DaskCluster]:
    """A cluster that a test may harm."""
    with DaskCluster(tmp_path / "dask") as one:
        yield one


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("weed"), EXCHANGE) as address:
        yield address


def begin(world: World, address: str, *options: str, **env: str) -> "subprocess.Popen[str]":
    """Start a sync whose steps the cluster at *address* does."""
    return subprocess.Popen(
        [*world.command, "--on", address, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env},
    )  # fmt: skip


def end(process: "subprocess.Popen[str]", within_s: float = 90) -> tuple[int, str, str]:
    """Return how a sync ended, with its output and errors."""
    out, err = process.communicate(timeout=within_s)
    assert "Traceback" not in err, err[-3000:]
    return process.returncode, out, err


def wait_for_requests(world: World) -> None:
    """Wait until the vendor is asked for the first archive."""
    wait_until(lambda: bool(world.vendor.archive_requests()), "archives are asked for")


def done(world: World, cluster: DaskCluster, **env: str) -> tuple[str, str]:
    """Sync on a cluster, for good; return output and errors."""
    code, out, err = end(begin(world, cluster.address, **env))
    assert code == Exit.OK, err
    return out, err


def refused(world: World, address: str, *options: str) -> str:
    """Return the message of a sync that cannot use its cluster."""
    code, _, err = end(begin(world, address, *options))
    assert code == Exit.CLUSTER, err
    assert "hint: " in err
    return err


def sums(world: World) -> list[tuple[Any, ...]]:
    return ask(
        world.config,
        "SELECT market, symbol, period, sha256, row_count FROM internal.partitions ORDER BY ALL",
    )


def test_cluster_sync_equals_local_sync(
    world: World, clean: list[Any], cluster: DaskCluster, tmp_path: Path
) -> None:
    out, err = done(world, cluster)

    assert world.digest() == clean
    assert "archives: 9 (0.5 MB), rows: 9,540" in out
    assert "9/9 archives, 0.5 of 0.5 MB" in err  # the bytes that workers received
    assert not list(tree_of(world.config).staging.glob("cluster-*"))
    (tmp_path / "here").mkdir()
    here = World(world.vendor, tmp_path / "here")
    sync(here.config)
    assert sums(world) == sums(here)  # byte by byte


def test_two_lakes_can_share_a_cluster(
    world: World, clean: list[Any], cluster: DaskCluster, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = World(world.vendor, tmp_path / "other")
    world.vendor.fail(Fault("*.zip", "slow", 300))

    for code, _, err in map(end, [begin(one, cluster.address) for one in (world, other)]):
        assert code == Exit.OK, err

    for one in (world, other):
        assert one.digest() == clean
        require_no_orphan(one)


def test_requests_of_workers_are_counted(world: World, cluster: DaskCluster) -> None:
    _, err = done(world, cluster)
    asked = len(world.vendor.archive_requests())

    assert asked == 18  # nine archives, each with its CHECKSUM
    assert "0.5 of 0.5 MB" in err


def test_a_second_cluster_sync_fetches_nothing(world: World, cluster: DaskCluster) -> None:
    done(world, cluster)
    before = len(world.vendor.archive_requests())

    out, _ = done(world, cluster)

    assert len(world.vendor.archive_requests()) == before
    assert out == "nothing new\n"


def test_the_configured_cluster_is_used(
    world: World, clean: list[Any], cluster: DaskCluster
) -> None:
    text = world.path.read_text()
    world.path.write_text(f'[cluster]\nscheduler = "{cluster.address}"\n{text}')
    done_here = world.sync()

    assert done_here.returncode == Exit.OK, done_here.stderr
    assert world.digest() == clean
    world.path.write_text('[cluster]\nscheduler = "dask://127.0.0.1:1"\n' + text)
    assert world.sync().returncode == Exit.CLUSTER


@pytest.mark.parametrize("is_shared", [True, False])
def test_what_workers_reject_is_quarantined_here(
    world: World, apart: DaskCluster, s3: str, *, is_shared: bool
) -> None:
    apart.start_worker()
    key = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-02.zip"
    world.vendor.put(key, "1,2,3\n")
    code, _, err = end(begin_exchanging(world, apart, s3, is_shared=is_shared))

    assert code == Exit.INCOMPLETE, err
    kept = tree_of(world.config).quarantine / key
    assert kept.read_bytes() == (world.vendor.folder / key).read_bytes()
    statuses = "SELECT status, count(*) FROM sync.archives GROUP BY ALL ORDER BY ALL"
    assert ask(world.config, statuses) == [("absent", 1), ("present", 8), ("quarantined", 1)]


def begin_exchanging(
    world: World, cluster: DaskCluster, s3: str, *, is_shared: bool
) -> "subprocess.Popen[str]":
    """Start a sync whose workers send files through a bucket, unless all share the lake."""
    if is_shared:
        return begin(world, cluster.address)
    text = world.path.read_text()
    if "[cluster]" not in text:
        world.path.write_text(f'[cluster]\nexchange = "s3://{EXCHANGE}/files"\n{text}')
    return begin(world, cluster.address, **credentials(s3))


def left_in(s3: str) -> list[str]:
    bucket = Bucket(f"s3://{EXCHANGE}/files", credentials(s3))
    return [one.path for one in bucket.list("")]


@pytest.fixture
def apart(tmp_path: Path, s3: str) -> Iterator[DaskCluster]:
    """A cluster whose workers share nothing with the lake but a bucket."""
    with DaskCluster(tmp_path / "apart", credentials(s3)) as one:
        yield one


def test_files_come_through_a_bucket(
    world: World, clean: list[Any], apart: DaskCluster, s3: str
) -> None:
    hide(world.lake, apart)
    hide(world.lake, apart)
    code, _, err = end(begin_exchanging(world, apart, s3, is_shared=False))

    assert code == Exit.OK, err
    assert world.digest() == clean
    assert left_in(s3) == []


def test_workers_without_bucket_keys_are_named(world: World, cluster: DaskCluster, s3: str) -> None:
    code, _, err = end(begin_exchanging(world, cluster, s3, is_shared=False))

    assert code == Exit.CLUSTER, err
    assert "using the worker tcp://127.0.0.1:" in err
    assert "AWS_ACCESS_KEY_ID" in err


def test_kept_rows_need_no_shared_lake(
    world: World, clean: list[Any], apart: DaskCluster, s3: str
) -> None:
    """A worker that shares nothing cannot read the file that a new day is added to."""
    text = world.path.read_text()
    world.path.write_text(text.replace("end = 2024-06-03", "end = 2024-06-02"))
    hide(world.lake, apart)
    assert end(begin_exchanging(world, apart, s3, is_shared=False))[0] == Exit.OK
    world.path.write_text(world.path.read_text().replace("2024-06-02\n", "2024-06-03\n"))

    assert end(begin_exchanging(world, apart, s3, is_shared=False))[0] == Exit.OK

    assert world.digest() == clean
    assert left_in(s3) == []


def hide(lake: Path, cluster: DaskCluster) -> None:
    """Start a worker that sees another folder where the lake is."""
    lake.mkdir(exist_ok=True)
    mount = f"mount -t tmpfs none {lake} && exec"
    cluster.start_worker(before=("unshare", "-m", "sh", "-c", f'{mount} "$@"', "sh"))


def test_workers_without_the_lake_are_named(world: World, own: DaskCluster) -> None:
    own.start_worker()
    hide(world.lake, own)

    message = refused(world, own.address)

    assert f"it does not see {world.lake}/.staging/cluster-" in message
    assert "cluster.exchange" in message
    assert world.sync().returncode == Exit.OK


def test_workers_with_nannies_can_build(world: World, clean: list[Any], own: DaskCluster) -> None:
    own.start_worker(nanny="--nanny", DASK_DISTRIBUTED__WORKER__DAEMON="True")
    done(world, own)

    assert world.digest() == clean


def test_a_scheduler_without_fullpool_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "none" / "fullpool").mkdir(parents=True)
    (tmp_path / "none" / "fullpool" / "__init__.py").write_text("")
    without = {"PYTHONPATH": str(tmp_path / "none")}
    with DaskCluster(tmp_path / "dask", of_scheduler=without) as one:
        one.start_worker()

        message = refused(world, one.address)
    assert f"using the scheduler {one.address}: No module named" in message
    assert "pip install" in message


def test_workers_of_another_version_are_refused(
    world: World, tmp_path: Path, own: DaskCluster
) -> None:
    other = tmp_path / "other"
    shutil.copytree(SOURCES / "fullpool", other / "fullpool", ignore=shutil.ignore_patterns("web"))
    start = other / "fullpool" / "__init__.py"
    start.write_text(start.read_text().replace(fullpool.__version__, "9.9.9"))
    own.start_worker(PYTHONPATH=str(other))

    message = refused(world, own.address)

    assert "it has fullpool 9.9.9, duckdb " in message
    assert f"this machine has fullpool {fullpool.__version__}, duckdb " in message


def test_a_worker_without_fullpool_is_refused(
    world: World, tmp_path: Path, own: DaskCluster
) -> None:
    (tmp_path / "none" / "fullpool").mkdir(parents=True)
    (tmp_path / "none" / "fullpool" / "__init__.py").write_text("")
    own.start_worker(PYTHONPATH=str(tmp_path / "none"))

    assert "No module named" in refused(world, own.address)


def test_late_workers_of_another_version_are_refused(
    world: World, tmp_path: Path, own: DaskCluster
) -> None:
    other = tmp_path / "other"
    shutil.copytree(SOURCES / "fullpool", other / "fullpool", ignore=shutil.ignore_patterns("web"))
    start = other / "fullpool" / "__init__.py"
    start.write_text(start.read_text().replace(fullpool.__version__, "9.9.9"))
    first = own.start_worker(threads=1)
    world.vendor.fail(Fault("*.zip", "slow", 3000))
    syncing = begin(world, own.address)
    wait_for_requests(world)
    own.start_worker(PYTHONPATH=str(other))
    own.kill(first)

    code, _, err = end(syncing)

    assert code == Exit.CLUSTER, err
    assert "9.9.9" in err


def test_what_is_no_cluster_is_told(world: World, own: DaskCluster) -> None:
    code, _, err = end(begin(world, "localhost:8786"))
    assert (code, "dask://scheduler:8786" in err) == (Exit.USAGE, True)
    assert "connecting to the scheduler dask://127.0.0.1:1" in refused(world, "dask://127.0.0.1:1")
    assert f"using the scheduler {own.address}: it has no worker" in refused(world, own.address)
    assert end(begin(world, ""))[0] == Exit.USAGE
    page = world.vendor.simulator.url.replace("http://", "dask://")
    assert "it answers, but not as a scheduler of Dask" in refused(world, page)


def test_a_cluster_works_over_tls(world: World, clean: list[Any], tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("127.0.0.1", "localhost")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "mine.pem")
    ca, pem = str(tmp_path / "ca.pem"), str(tmp_path / "mine.pem")
    options = ("--tls-ca-file", ca, "--tls-cert", pem, "--tls-key", pem)
    with DaskCluster(tmp_path / "dask", tls=options) as secured:
        secured.start_worker()
        tls = "DASK_DISTRIBUTED__COMM__TLS"
        done(world, secured, **{
            f"{tls}__CA_FILE": ca, f"{tls}__CLIENT__CERT": pem, f"{tls}__CLIENT__KEY": pem,
        })  # fmt: skip

        assert world.digest() == clean
        plain = secured.address.replace("dask+tls", "dask")
        assert "connecting to the scheduler" in refused(world, plain)
        assert "connecting to the scheduler" in refused(world, secured.address)  # without a key


def kill_later(seconds: float, cluster: DaskCluster, victim: "subprocess.Popen[Any]") -> None:
    wait(seconds)
    cluster.kill(victim)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("moment", range(5))
def test_a_killed_worker_costs_no_row(
    world: World, clean: list[Any], own: DaskCluster, s3: str, moment: int, *, is_shared: bool
) -> None:
    own.add_environment(credentials(s3))
    first, _ = own.start_worker(threads=2), own.start_worker(threads=2)
    world.vendor.fail(Fault("*.zip", "slow", 150))
    syncing = begin_exchanging(world, own, s3, is_shared=is_shared)
    wait_for_requests(world)

    kill_later(0.2 * moment, own, first)

    code, _, err = end(syncing)
    assert code == Exit.OK, err  # the other one did all
    assert world.digest() == clean
    require_no_orphan(world)


def require_no_orphan(world: World) -> None:
    """Every file of the lake is one that its state knows."""
    found = verify.verify(world.config, Event(), lambda _: None)
    assert found.is_whole, found


@pytest.mark.parametrize("moment", range(3))
def test_a_killed_scheduler_leaves_a_sound_lake(
    world: World, clean: list[Any], own: DaskCluster, moment: int
) -> None:
    own.start_worker()
    world.vendor.fail(Fault("*.zip", "slow", 300))
    syncing = begin(world, own.address)
    wait_for_requests(world)

    assert own.scheduler is not None
    kill_later(0.15 * moment, own, own.scheduler)

    code, _, err = end(syncing)
    assert code == Exit.CLUSTER, err
    assert "using the scheduler" in err
    world.require_sound(clean)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("moment", range(5))
def test_next_sync_survives_a_killed_coordinator(
    world: World, clean: list[Any], own: DaskCluster, s3: str, moment: int, *, is_shared: bool
) -> None:
    """What workers do for it afterwards comes to nothing, also beside the next sync."""
    own.add_environment(credentials(s3))
    own.start_worker(threads=2)
    world.vendor.fail(Fault("*.zip", "slow", 150))
    syncing = begin_exchanging(world, own, s3, is_shared=is_shared)
    wait_for_requests(world)
    wait(0.15 * moment)
    syncing.kill()
    syncing.communicate()

    code, _, err = end(begin_exchanging(world, own, s3, is_shared=is_shared))

    assert code == Exit.OK, err
    assert world.digest() == clean
    require_no_orphan(world)
    assert left_in(s3) == []
    world.require_sound(clean)


def test_an_interrupt_ends_a_cluster_sync(
    world: World, clean: list[Any], cluster: DaskCluster
) -> None:
    world.vendor.fail(Fault("*.zip", "slow", 1500))
    syncing = begin(world, cluster.address)
    wait_for_requests(world)
    syncing.send_signal(signal.SIGINT)

    code, _, err = end(syncing, within_s=10)

    assert code == Exit.INTERRUPTED, err
    world.require_sound(clean)
