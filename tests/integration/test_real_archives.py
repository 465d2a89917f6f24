"""Every real archive of our kinds goes through the whole pipeline and comes out exact."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fullpool.config import Config, parse
from fullpool.simulator import Bucket, Simulator
from fullpool.store.catalogue.reader import reading
from real_lake import DATASETS, in_lake
from real_reader import archives, content
from served import snapshot, sync, tree_of


@pytest.fixture(scope="module")
def synced(
    real: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Config, Simulator]]:
    lake = tmp_path_factory.mktemp("real") / "lake"
    with Simulator(Bucket(real / "archives")) as vendor:
        text = (
            f"[lake]\npath = '{lake}'\nmin_free_gb = 0.0\n[network]\n"
            f'archive_url = "{vendor.url}"\nlisting_url = "{vendor.listing_url}"\n'
            f"[rest]\nenabled = false\n{DATASETS}"
        )
        config = parse(text, "real.toml")
        sync(config)
        yield config, vendor


def test_every_real_archive_enters_exactly(real: Path, synced: tuple[Config, Simulator]) -> None:
    config, _ = synced
    expected = [content(path) for path in archives(real / "archives")]

    with reading(tree_of(config)) as reader:
        found = [in_lake(reader, one) for one in expected]

    assert len(expected) > 1000
    assert found == [(one.rows, one.first, one.last, one.sums) for one in expected]


def test_a_second_sync_fetches_and_rewrites_nothing(
    synced: tuple[Config, Simulator],
) -> None:
    config, vendor = synced
    before = snapshot(tree_of(config).root)
    asked = len(vendor.archive_requests())

    outcome, _ = sync(config)

    assert len(vendor.archive_requests()) == asked
    assert outcome.archives == 0
    assert snapshot(tree_of(config).root) == before


def test_no_real_archive_is_quarantined_or_failed(synced: tuple[Config, Simulator]) -> None:
    config, _ = synced

    with reading(tree_of(config)) as reader:
        found = reader.query("SELECT DISTINCT status FROM sync.archives").rows

    assert {status for (status,) in found} <= {"present", "absent"}
