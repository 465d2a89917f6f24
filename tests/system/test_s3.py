"""The same real archives from a real S3 server: SeaweedFS, started for this test."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import seaweed
from fullpool.config import parse
from real_lake import DATASETS, in_lake
from real_reader import archives, content
from served import reading_of, sync

pytestmark = pytest.mark.seaweed
BUCKET = "data.binance.vision"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed.served(tmp_path_factory.mktemp("weed"), BUCKET) as address:
        yield address


def test_real_archives_sync_exactly_from_s3(real: Path, s3: str, tmp_path: Path) -> None:
    zips = archives(real / "archives")
    for path in zips:
        key = path.relative_to(real / "archives").as_posix()
        found = content(path)
        body = path.read_bytes()
        seaweed.put(f"{s3}/{BUCKET}/{key}", body)
        seaweed.put(f"{s3}/{BUCKET}/{key}.CHECKSUM", _checksum(body, path.name, found.market))
    text = (
        f"[lake]\npath = '{tmp_path}/lake'\nmin_free_gb = 0.0\n[network]\n"
        f'archive_url = "{s3}/{BUCKET}"\nlisting_url = "{s3}/{BUCKET}"\n'
        f"[rest]\nenabled = false\n{DATASETS}"
    )
    config = parse(text, "s3.toml")

    sync(config)
    again, _ = sync(config)

    expected = [content(path) for path in zips]
    with reading_of(config) as reader:
        assert [in_lake(reader, one) for one in expected] == [
            (one.rows, one.first, one.last, one.sums) for one in expected
        ]
    assert again.archives == 0
    assert again.built == 0


def _checksum(body: bytes, name: str, market: str) -> bytes:
    newline = "" if market == "spot" else "\n"
    return f"{hashlib.sha256(body).hexdigest()}  {name}{newline}".encode()
