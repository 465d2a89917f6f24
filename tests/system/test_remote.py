"""The copy of a lake in object storage: a real S3 server, faults before it, and kills."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import deltalake
import orjson
import pytest

import seaweed
from fullpool.app import verify
from fullpool.config import Publish
from fullpool.errors import Exit, LakeBusyError, RemoteError
from fullpool.kinds import KINDS
from fullpool.remote import manifests, metadata, publishing, verification
from fullpool.remote.bucket import PART, Bucket
from fullpool.remote.delta import DeltaTables
from fullpool.remote.etag import etag_of
from fullpool.remote.naming import FOLDERS, NEWEST, TABLES
from fullpool.remote.owner import OWNER
from fullpool.remote.publisher import Publisher, Sent
from fullpool.simulator.generate import zipped
from fullpool.store import remote_record
from lab import DAY, HOUR, Lab, at, bars
from running import QUICK, Running
from seaweed import Faulty, credentials
from served import ask, audit, dataset, sync, tree_of, wait
from world import FIRST, World

pytestmark = pytest.mark.seaweed

BUCKET = "copy"
GRACE = timedelta(hours=24)
ARCHIVE = "data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-06-02.zip"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed.served(tmp_path_factory.mktemp("weed"), BUCKET) as address:
        yield address


@dataclass
class Copy:
    """A lake, where it is published, and by which clock."""

    world: World
    address: str
    to: str
    now: datetime

    def publish(
        self, *, through: str = "", takes_over: bool = False, timeout_s: float = 30
    ) -> Sent:
        """Publish the newest generation, perhaps *through* a proxy."""
        bucket = Bucket(self.to, credentials(through or self.address), timeout_s=timeout_s)
        return self.publisher(bucket).publish(takes_over=takes_over)

    def publisher(self, bucket: Bucket) -> Publisher:
        return Publisher(tree_of(self.world.config), bucket, GRACE, lambda: self.now)

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.to, credentials(self.address))

    def objects(self) -> dict[str, int]:
        """Return what is there, with sizes."""
        bucket = self.bucket
        return {one.path: one.size_bytes for f in FOLDERS for one in bucket.list(f)}

    def files(self, table: str) -> dict[str, int]:
        """Return the files that a table's current snapshot has, with their rows."""
        found = metadata.current(self.metadata(table))
        return {} if found is None else self.files_of(found)

    def files_of(self, snapshot: metadata.Metadata) -> dict[str, int]:
        bucket, location = self.bucket, snapshot["manifest-list"]
        content = bucket.get(self._name(location))
        assert content is not None
        found = {}
        for one in manifests.listed_in(location, content):
            own = bucket.get(self._name(one.manifest_path))
            assert own is not None
            assert len(own) == one.manifest_length
            for entry in manifests.entries_in(one, own):
                found[self._name(entry.data_file.file_path)] = entry.data_file.record_count
        return found

    def metadata(self, table: str) -> metadata.Metadata:
        bucket, folder = self.bucket, f"{TABLES}/{table}/metadata"
        version = bucket.get(f"{folder}/version-hint.text")
        assert version is not None
        content = bucket.get(f"{folder}/v{int(version)}.metadata.json")
        assert content is not None
        found: metadata.Metadata = orjson.loads(content)
        return found

    def require_whole(self) -> None:
        """Whoever reads the tables finds every file, whole."""
        objects = self.objects()
        for table in ("klines", "agg_trades"):
            for path in self.files(table):
                assert path in objects

    def require_newest(self) -> None:
        """The tables have the files of the lake's newest generation, byte for byte."""
        for kind in ("klines", "aggTrades"):
            sql = f"SELECT path, row_count FROM internal.partitions WHERE kind = '{kind}'"
            expected = dict(ask(self.world.config, sql))
            assert self.files(KINDS[kind].table) == expected
        objects = self.objects()
        for path, size in ask(
            self.world.config, "SELECT path, size_bytes FROM internal.partitions"
        ):
            assert objects[path] == size
        tree = tree_of(self.world.config)
        assert self.bucket.get(NEWEST) == tree.current.read_bytes()

    def change(self, number: int) -> None:
        """Have the vendor publish an archive anew, and the lake take it over."""
        text = self.world.vendor.text_of(ARCHIVE)
        first, *rest = text.splitlines(keepends=True)
        fields = first.split(",")
        fields[5] = f"{number}.00000000"
        content = "".join([",".join(fields), *rest]).encode()
        name = ARCHIVE.rpartition("/")[2].replace(".zip", ".csv")
        # The stand-in takes a file of the same length and time for the same one.
        at = datetime(2024, 6, 4, tzinfo=UTC) + timedelta(minutes=number)
        self.world.vendor.put_bytes(ARCHIVE, zipped(name, content), at)
        audit(self.world.config)

    def _name(self, location: str) -> str:
        return location.removeprefix(f"{self.to}/")


@pytest.fixture
def copy(world: World, s3: str, request: pytest.FixtureRequest) -> Copy:
    sync(world.config)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Copy(world, s3, f"s3://{BUCKET}/{request.node.name[:60]}".replace("[", "-"), now)


def test_the_copy_matches_the_lake(copy: Copy) -> None:
    sent = copy.publish()

    copy.require_newest()
    assert sent.files > 3
    assert sent.tables == 2
    assert {one["name"] for one in copy.metadata("klines")["schemas"][0]["fields"]} >= {
        "market", "symbol", "interval", "open_time", "volume", "source",
    }  # fmt: skip


def test_publishing_again_sends_only_changes(copy: Copy) -> None:
    copy.publish()
    with Faulty(copy.address) as proxy:
        again = copy.publish(through=proxy.address)
        before = list(proxy.writes)
    copy.change(7)
    one = copy.publish()

    assert (again.is_news, before) == (False, [])
    tables = [path for path in copy.objects() if not path.startswith((".catalogue", TABLES))]
    assert one.tables == 1
    assert len(tables) == len(copy.files("klines")) + len(copy.files("agg_trades")) + 1
    copy.require_newest()


def test_replaced_files_stay_for_their_grace(copy: Copy) -> None:
    copy.publish()
    old = copy.files("klines")
    copy.change(7)
    copy.now += timedelta(hours=1)
    copy.publish()
    snapshots = copy.metadata("klines")["snapshots"]
    as_of = [(s["summary"]["fullpool.generation"], copy.files_of(s)) for s in snapshots]
    copy.change(8)
    copy.now += GRACE + timedelta(hours=1)
    last = copy.publish()
    copy.now += GRACE + timedelta(hours=1)
    idle = copy.publish()

    assert [files for _, files in as_of] == [old, as_of[1][1]]
    assert as_of[1][1] != old
    assert len({generation for generation, _ in as_of}) == 2
    assert last.deleted > 0
    assert idle.deleted > 0  # of the generation before, though nothing is new
    assert len(copy.metadata("klines")["snapshots"]) == 1
    assert not (set(old) - set(copy.files("klines"))) & set(copy.objects())
    copy.require_newest()
    copy.require_whole()
    names = [path for path in copy.objects() if path.startswith(f"{TABLES}/klines")]
    # The hint, a list and its manifests, the metadata and that of before the expiry.
    assert len(names) <= 6, names


def test_another_lake_is_not_overwritten(copy: Copy) -> None:
    copy.publish()
    (tree_of(copy.world.config).remote / "lake").unlink()

    with pytest.raises(RemoteError, match="another lake is published there") as refused:
        copy.publish()
    assert "--take-over" in refused.value.hint
    copy.publish(takes_over=True)
    copy.publish()
    copy.require_newest()


def test_foreign_files_below_the_prefix_stay(copy: Copy) -> None:
    theirs = ("klines/mine.csv", "trades/2019/mine.parquet", "_iceberg/other/metadata/v1.json")
    for path in theirs:
        copy.bucket.put(path, b"mine")
    copy.publish()
    copy.now += GRACE + timedelta(hours=1)
    copy.change(7)
    copy.publish()

    assert [copy.bucket.get(path) for path in theirs] == [b"mine"] * 3


def test_a_takeover_replaces_files_of_equal_name(copy: Copy) -> None:
    """Two lakes that were set up alike have files of equal names and sizes, of other rows."""
    copy.publish()
    path = min(copy.files("klines"))
    content = copy.bucket.get(path)
    assert content is not None
    copy.bucket.put(path, content[:-1] + b"?")
    (tree_of(copy.world.config).remote / "lake").write_text("another one")
    copy.publish(takes_over=True)

    assert copy.bucket.get(path) == content
    copy.require_newest()


def test_a_takeover_excludes_the_former_lake(copy: Copy) -> None:
    copy.publish()
    file = tree_of(copy.world.config).remote / "lake"
    mine = file.read_text()
    file.write_text("another one")
    copy.publish(takes_over=True)
    file.write_text(mine)
    copy.change(7)

    with pytest.raises(RemoteError, match="another lake is published there"):
        copy.publish()


def test_a_restored_lake_completes_the_copy(copy: Copy) -> None:
    """Its record is of an earlier publication: what is there is listed, and compared."""
    tree = tree_of(copy.world.config)
    copy.publish()
    kept = {file.name: file.read_bytes() for file in tree.remote.iterdir()}
    newest = copy.bucket.get(NEWEST)
    copy.change(7)
    copy.publish()
    for name, content in kept.items():
        (tree.remote / name).write_bytes(content)
    copy.bucket.put(NEWEST, newest or b"")

    assert copy.publish().is_news
    copy.require_newest()


@pytest.mark.parametrize("is_there", [True, False])
def test_damaged_files_are_not_published(copy: Copy, *, is_there: bool) -> None:
    """The copy may be the only sound one; what was known of it may be lost."""
    tree = tree_of(copy.world.config)
    if is_there:
        copy.publish()
        (tree.remote / "objects.json").unlink()
    path = max((tree.root / "klines").rglob("*.parquet"))
    name = str(path.relative_to(tree.root))
    before = copy.bucket.get(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    for damage in (content, content[:-9]):
        path.write_bytes(damage)
        with pytest.raises(RemoteError, match="does not have the bytes that were written"):
            copy.publish()

    assert (before is not None) == is_there
    assert copy.bucket.get(name) == before
    found = verify.verify(copy.world.config, threading.Event(), lambda _: None)
    verify.repair(copy.world.config, found)
    sync(copy.world.config)
    assert copy.publish().is_news
    copy.require_newest()


def test_failures_do_not_restart_the_grace(copy: Copy) -> None:
    copy.publish()
    copy.change(7)
    copy.publish()
    for _ in range(3):
        copy.now += timedelta(hours=10)
        with Faulty(copy.address, lambda *_: "refuse") as proxy:
            copy.change(copy.now.hour)
            with pytest.raises(RemoteError):
                copy.publish(through=proxy.address)
    assert copy.publish().deleted > 0
    copy.require_newest()
    copy.require_whole()


def test_a_clock_ahead_keeps_nothing_forever(copy: Copy) -> None:
    right = copy.now
    copy.publish()
    copy.now += timedelta(days=300)
    copy.change(7)
    copy.publish()
    for number in range(3):
        copy.now = right + number * timedelta(hours=30)
        copy.change(10 + number)
        copy.publish()

    objects = copy.objects()
    for snapshot in copy.metadata("klines")["snapshots"]:
        assert set(copy.files_of(snapshot)) <= set(objects)
    assert len(copy.metadata("klines")["snapshots"]) <= 2


def test_publish_and_verify_find_invalid_metadata(copy: Copy) -> None:
    copy.publish()
    tree, hint = tree_of(copy.world.config), f"{TABLES}/klines/metadata/version-hint.text"
    for path in (hint, NEWEST):
        copy.bucket.put(path, b"<html>")
    found = verification.compare(tree, copy.bucket, copy.now)

    assert found.changed == (hint, NEWEST)
    with pytest.raises(RemoteError, match="it is not a number") as told:
        copy.publish()
    assert "delete" in told.value.hint
    copy.bucket.delete([path for path in copy.objects() if path.startswith(f"{TABLES}/klines/")])
    copy.publish()
    copy.require_newest()


def test_a_lost_manifest_is_reported_until_rewritten(
    copy: Copy,
) -> None:
    copy.publish()
    folder = f"{TABLES}/klines/metadata"
    names = [path for path in copy.objects() if path.startswith(folder)]
    manifest = next(n for n in names if n.endswith(".avro") and "/snap-" not in n)
    copy.bucket.delete([manifest])
    found = verification.compare(tree_of(copy.world.config), copy.bucket, copy.now)

    assert found.missing == (manifest,)
    for _ in range(2):
        with pytest.raises(RemoteError, match="it is not there"):
            copy.publish()
    copy.bucket.delete(names)
    copy.publish()
    copy.require_newest()


def test_publishing_recovers_from_an_early_kill(copy: Copy) -> None:
    world = copy.world
    world.path.write_text(world.path.read_text() + f'[publish]\nto = "{copy.to}"\n')
    killed_at(copy, 1)
    copy.publish()

    copy.require_newest()


@pytest.mark.parametrize("how", ["lose", "refuse", "reset"])
def test_failed_writes_are_repeated(copy: Copy, how: str) -> None:
    tried: set[str] = set()

    def once(_: int, path: str) -> str:
        is_first = path not in tried
        tried.add(path)
        return how if is_first else ""

    with Faulty(copy.address, once) as proxy:
        copy.publish(through=proxy.address)

    copy.require_newest()
    assert len(proxy.writes) >= 2 * len(tried) - 2


def test_the_next_publication_completes_a_stalled_one(copy: Copy) -> None:
    with Faulty(copy.address, lambda number, _: "stall" if number > 4 else "") as proxy:
        with pytest.raises(RemoteError, match="error sending request"):
            copy.publish(through=proxy.address, timeout_s=3)
    failed = remote_record.read(tree_of(copy.world.config))
    copy.publish()

    assert failed is not None
    assert not failed.is_whole
    copy.require_newest()
    done = remote_record.read(tree_of(copy.world.config))
    assert done is not None
    assert (done.reason, done.is_whole) == ("", True)


def killed_at(copy: Copy, number: int) -> int:
    """Publish in a process that is killed with its write of that number; return how many it did."""
    return killed_when(copy, lambda count, _: count == number)


def killed_when(copy: Copy, is_it: Callable[[int, str], bool]) -> int:
    """Publish in a process that is killed with a certain write; return how many it did."""
    started: list[subprocess.Popen[bytes]] = []

    def act(count: int, path: str) -> str:
        if is_it(count, path):
            started[0].kill()
            return "reset"
        return ""

    with Faulty(copy.address, act) as proxy:
        environment = {**os.environ, **credentials(proxy.address)}
        command = [sys.executable, "-m", "fullpool", "publish", "-c", str(copy.world.path)]
        process = subprocess.Popen(command, env=environment)
        started.append(process)
        process.wait(60)
    return len(proxy.writes)


def test_killed_writes_leave_a_whole_generation(copy: Copy) -> None:
    """Readers find the old one or the new one of each table, and nothing stays behind for good."""
    world = copy.world
    world.path.write_text(world.path.read_text() + f'[publish]\nto = "{copy.to}"\n')
    copy.publish()
    with Faulty(copy.address) as proxy:
        copy.change(1)
        copy.publish(through=proxy.address)
    writes = len(proxy.writes)
    sql = "SELECT path, row_count FROM internal.partitions WHERE kind = 'klines'"
    generations = [copy.files("klines")]
    for number in range(1, writes + 1):
        copy.change(number + 1)
        generations.append(dict(ask(world.config, sql)))
        killed_at(copy, number)

        copy.require_whole()
        assert copy.files("klines") in generations
    copy.publish()
    copy.require_newest()
    copy.now += GRACE + timedelta(hours=1)
    copy.change(writes + 2)
    copy.publish()
    copy.now += GRACE + timedelta(hours=1)
    copy.publish()
    copy.require_newest()
    named = {*copy.files("klines"), *copy.files("agg_trades")}
    data = {path for path in copy.objects() if not path.startswith((".", "_"))}
    assert data == named


def test_a_killed_large_upload_leaves_copy_whole(copy: Copy) -> None:
    """Its parts are invisible; the next publication sends it as a whole."""
    world = copy.world
    copy.publish()
    before = copy.files("agg_trades")
    world.vendor.publish("spot/aggTrades/BIGUSDT", FIRST, FIRST, trades_a_day=1_000_000)
    world.datasets += dataset("spot/aggTrades/BIGUSDT", start=str(FIRST), end=str(FIRST))
    world.configure()
    sync(world.config)
    world.path.write_text(world.path.read_text() + f'[publish]\nto = "{copy.to}"\n')
    sizes = ask(world.config, "SELECT max(size_bytes) FROM internal.partitions")

    killed_when(copy, lambda _, path: "partNumber=2" in path)

    assert sizes[0][0] > PART
    assert copy.files("agg_trades") == before
    copy.require_whole()
    copy.publish()
    copy.require_newest()


def test_only_one_of_many_creators_wins(copy: Copy) -> None:
    bucket = copy.bucket
    for number in range(5):
        with ThreadPoolExecutor(8) as racers:
            won = list(
                racers.map(lambda k, n=number: bucket.create(f"race-{n}", b"%d" % k), range(8))
            )
        assert won.count(True) == 1
    assert bucket.create("race-0", bucket.get("race-0") or b"")  # as if its answer was lost


def test_two_publishers_do_not_mix(copy: Copy) -> None:
    """The one that comes second finds a version that is not its own, and says so."""
    copy.publish()
    copy.change(3)
    theirs = copy.metadata("klines")
    theirs["properties"]["fullpool.lake"] = "somebody-else"
    version = int(copy.bucket.get(f"{TABLES}/klines/metadata/version-hint.text") or b"")
    path = f"{TABLES}/klines/metadata/v{version + 1}.metadata.json"
    assert copy.bucket.create(path, orjson.dumps(theirs))

    with pytest.raises(RemoteError, match="another process also writes there"):
        copy.publish()


def test_verify_finds_missing_changed_and_foreign_files(copy: Copy) -> None:
    copy.publish()
    tree, bucket = tree_of(copy.world.config), copy.bucket
    whole = verification.compare(tree, bucket, copy.now)
    lost, other = sorted(copy.files("klines"))[:2]
    bucket.delete([lost])
    content = bucket.get(other)
    assert content is not None
    bucket.put(other, content[:-1] + b"?")
    foreign = "klines/market=spot/interval=1m/symbol=CUSDT/2024.g000001.parquet"
    bucket.put(foreign, b"?")
    found = verification.compare(tree, bucket, copy.now)

    assert whole.is_whole
    assert not whole.foreign
    assert (found.missing, found.changed) == ((lost,), (other,))
    assert found.foreign == (foreign,)
    assert copy.publish().is_news
    copy.require_newest()


def test_the_multipart_hash_matches_the_server(copy: Copy, tmp_path: Path) -> None:
    for size in (0, 10, PART, PART + 1, 2 * PART):
        file = tmp_path / f"{size}"
        file.write_bytes(b"x" * size)
        assert copy.bucket.put_file(f"parts/{size}", file).etag == etag_of(file)


def test_one_process_publishes_at_a_time(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in credentials(copy.address).items():
        monkeypatch.setenv(name, value)
    tree, told = tree_of(copy.world.config), threading.Event()
    gone_on = threading.Event()

    def held(number: int, _: str) -> str:
        told.set()
        if number == 1:
            gone_on.wait(30)
        return ""

    with Faulty(copy.address, held) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(publishing.publish_lake, tree, Publish(to=copy.to), GRACE)
            assert told.wait(30)
            with pytest.raises(LakeBusyError, match="another process is doing so"):
                publishing.publish_lake(tree, Publish(to=copy.to), GRACE)
            gone_on.set()
            assert first.result().is_news


def run(
    copy: Copy, *arguments: str, address: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fullpool", *arguments, "-c", str(copy.world.path)]
    environment = {**os.environ, **credentials(address or copy.address), **variables}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, timeout=120
    )


def configured(copy: Copy, more: str = "") -> None:
    text = copy.world.path.read_text()
    copy.world.path.write_text(f'{more}{text}[publish]\nto = "{copy.to}"\nevery_s = 1.0\n')


AWAY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ENDPOINT_URL": "banana"}, "which is not an address"),
        ({"AWS_ENDPOINT_URL": "http://[::1"}, "which is not an address"),
        ({"AWS_SECRET_ACCESS_KEY": "key\n"}, "contains a space or a line break"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "privileges"),
    ],
)
def test_wrong_variables_are_reported_and_recorded(
    copy: Copy, variables: dict[str, str], said: str
) -> None:
    configured(copy)
    done = run(copy, "publish", **variables)
    known = remote_record.read(tree_of(copy.world.config))

    assert done.returncode == Exit.REMOTE, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert known is not None
    assert known.reason


def test_a_lake_without_generation_publishes_nothing(copy: Copy) -> None:
    configured(copy)
    shutil.rmtree(copy.world.lake)
    done = run(copy, "publish")

    assert done.returncode == Exit.NO_LAKE
    assert copy.bucket.get(OWNER) is None


def test_commands_publish_verify_and_report(copy: Copy) -> None:
    without = run(copy, "publish")
    configured(copy)
    away = run(copy, "sync", address=AWAY)
    status_away, doctor_away = run(copy, "status"), run(copy, "doctor")
    published = run(copy, "sync")
    again, status = run(copy, "publish"), run(copy, "status")
    verified = run(copy, "verify", "--remote")
    copy.bucket.delete([next(iter(copy.files("klines")))])
    damaged = run(copy, "verify", "--remote")

    assert (without.returncode, away.returncode) == (Exit.REMOTE, Exit.REMOTE)
    assert "publish.to is empty" in without.stderr
    assert "the lake itself is not affected" in away.stderr
    assert "nothing yet; the last attempt failed" in status_away.stdout
    assert "the last attempt failed" in doctor_away.stdout
    assert published.returncode == Exit.OK, published.stderr
    assert f"published to {copy.to}" in published.stdout
    assert "has generation" in again.stdout
    assert "as in the lake" in status.stdout
    assert (verified.returncode, damaged.returncode) == (Exit.OK, Exit.DAMAGED)
    assert "all objects are as they were sent" in verified.stdout
    assert "missing: klines/" in damaged.stdout


def until(what: Callable[[], object]) -> None:
    for _ in range(600):
        if what():
            return
        wait(0.1)
    pytest.fail("it did not come to that")


def test_daemon_publishes_and_unreachable_bucket_delays_nothing(copy: Copy) -> None:
    configured(copy, QUICK)
    tree = tree_of(copy.world.config)

    def known() -> remote_record.RemoteRecord | None:
        return remote_record.read(tree)

    with Running(copy.world.path, copy.world.lake, **credentials(AWAY)) as daemon:
        daemon.until(lambda: "up to date" in daemon.status())
        until(lambda: (found := known()) and found.reason)
        daemon.until(lambda: "up to date" in daemon.status())  # a quiet tick may be under way
        metrics = copy.world.lake / "fullpool.prom"
        until(lambda: "fullpool_remote_failed 1.0" in metrics.read_text())
        assert "remote.failed" in daemon.log.read_text()
    copy.world.path.with_suffix(".notify").unlink()
    with Running(copy.world.path, copy.world.lake, **credentials(copy.address)) as daemon:
        daemon.until(lambda: "up to date" in daemon.status())
        until(lambda: (found := known()) and found.has(tree.published(), copy.to))
    copy.require_newest()


def test_delta_tables_have_the_rows_of_a_restored_backup(copy: Copy, tmp_path: Path) -> None:
    """Its next file has a name that was sent before, with other rows."""
    key = "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-{}.zip"
    with Lab(dataset("spot/klines/AUSDT/1h", start="2024-03-01"), has_api=False) as lab:
        tree, to, options = tree_of(lab.config), f"{copy.to}-restored", credentials(copy.address)
        delta, bucket = DeltaTables(to, options), Bucket(to, options)

        def day_later(day: str) -> None:
            begins = at(day)
            lab.put(key.format(day), bars(begins, begins + DAY, HOUR, begins.day), begins + DAY)
            now = begins + DAY + 9 * HOUR
            lab.run("sync", now)
            Publisher(tree, bucket, GRACE, lambda: now, delta).publish()

        day_later("2024-03-01")
        shutil.copytree(tree.root, tmp_path / "backup", symlinks=True)
        day_later("2024-03-02")
        shutil.rmtree(tree.root)
        shutil.copytree(tmp_path / "backup", tree.root, symlinks=True)
        day_later("2024-03-03")

        options |= {"AWS_ENDPOINT_URL": copy.address, "AWS_ALLOW_HTTP": "true"}
        table = deltalake.DeltaTable(f"{to}/klines", storage_options=options)
        sizes = table.get_add_actions(flatten=True)["size_bytes"].to_pylist()
        assert [(size,) for size in sizes] == lab.ask("SELECT size_bytes FROM sync.files")
