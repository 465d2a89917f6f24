"""What tests do to a lake, and how they look at it afterwards."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from fullpool.app import verify
from fullpool.config import Config
from served import ask, snapshot, tree_of

ALL = (
    "SELECT md5(string_agg(r::VARCHAR, '|' ORDER BY r::VARCHAR)) FROM klines_exact AS r",
    "SELECT md5(string_agg(r::VARCHAR, '|' ORDER BY r::VARCHAR)) FROM agg_trades_exact AS r",
)


def rows_of(config: Config) -> list[object]:
    """Return a hash of all rows, a table."""
    return [ask(config, sql) for sql in ALL]


def file_of(config: Config, part: str) -> Path:
    """Return the one partition file whose path contains *part*."""
    (found,) = (path for path in files(config) if part in str(path))
    return found


def verified(config: Config) -> verify.Verified:
    return verify.verify(config, Event(), lambda _: None)


def files(config: Config) -> list[Path]:
    root = tree_of(config).root
    return [root / path for path in snapshot(root)]


def flip(path: Path, at: int = -300) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fullpool", *map(str, arguments)],
        check=False, capture_output=True, text=True, timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


@contextmanager
def mounted(folder: Path, *mount: str | Path) -> Iterator[None]:
    """Mount something at *folder*; skip where that cannot be done."""
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", *mount, folder], check=False, capture_output=True).returncode:
        pytest.skip("this cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
