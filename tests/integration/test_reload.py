"""Every way that editors and tools write a file: one look a save, none for what changes nothing."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fullpool.app import clock
from fullpool.app.signals import Flag
from fullpool.config import Config, parse
from fullpool.errors import ConfigError
from fullpool.reload import ConfigChange, Lookout
from served import dataset, wait


def text_of(symbol: str) -> str:
    return dataset(f"spot/klines/{symbol}/1m")


class Watched:
    """A file with a lookout on it, in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.looks: list[ConfigChange] = []
        self.asked, self.stop = Flag(), Flag()
        self.refuse = ""
        config = parse(path.read_text(), str(path))
        self.lookout = Lookout(
            path,
            config,
            self._accept,
            stop=self.stop,
            asked=self.asked,
            sleep=clock.sleeper(self.stop),
        )
        self.thread = threading.Thread(target=self._collect)
        self.thread.start()
        wait(1.0)  # until it watches

    def _accept(self, config: Config) -> None:
        if self.refuse:
            raise ConfigError("test", (self.refuse,))

    def _collect(self) -> None:
        for look in self.lookout.looks():
            self.looks.append(look)

    def symbols(self, count: int, *, settled_s: float = 1.0) -> list[str]:
        """Return the symbols of the configurations seen: at least *count*, and no more came."""
        end = time.monotonic() + 15
        while len(self.looks) < count and time.monotonic() < end:
            wait(0.05)
        wait(settled_s)
        return [look.config.dataset[0].symbols[0] for look in self.looks if look.config]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "fullpool.toml").write_text(text_of("AUSDT"))
    one = Watched(folder / "fullpool.toml")
    yield one
    one.stop.set()
    one.thread.join()


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def slowly(path: Path, text: str) -> None:
    with path.open("w") as file:
        for at in range(0, len(text), 20):
            file.write(text[at : at + 20])
            file.flush()
            wait(0.1)


def renamed(path: Path, text: str) -> None:
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def as_vim(path: Path, text: str) -> None:
    """Vim's default: a probe, the old file renamed, a new one written, the old one removed."""
    (path.parent / "4913").touch()
    (path.parent / "4913").unlink()
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


def as_emacs(path: Path, text: str) -> None:
    """Emacs: a lock, a backup by copy, the file written in place."""
    lock = path.with_name(f".#{path.name}")
    lock.symlink_to("user@host")
    shutil.copy(path, path.with_name(path.name + "~"))
    path.write_text(text)
    lock.unlink()


def by_sed(path: Path, text: str) -> None:
    symbol = next(line for line in text.splitlines() if line.startswith("symbols")).split('"')[1]
    subprocess.run(["sed", "-i", f's/symbols = .*/symbols = ["{symbol}"]/', path], check=True)


def by_cp(path: Path, text: str) -> None:
    other = path.parent.parent / "other.toml"
    other.write_text(text)
    subprocess.run(["cp", other, path], check=True)


def by_install(path: Path, text: str) -> None:
    other = path.parent.parent / "other.toml"
    other.write_text(text)
    subprocess.run(["install", "-m", "644", other, path], check=True)


def removed_and_made(path: Path, text: str) -> None:
    path.unlink()
    wait(0.3)
    path.write_text(text)


def folder_made_anew(path: Path, text: str) -> None:
    shutil.rmtree(path.parent)
    wait(0.3)
    path.parent.mkdir()
    path.write_text(text)


PATTERNS: list[Callable[[Path, str], None]] = [
    in_place, slowly, renamed, as_vim, as_emacs, by_sed, by_cp, by_install, removed_and_made,
    folder_made_anew,
]  # fmt: skip


@pytest.mark.parametrize("save", PATTERNS, ids=lambda save: save.__name__)
def test_every_save_causes_one_look(watched: Watched, save: Callable[[Path, str], None]) -> None:
    save(watched.path, text_of("BUSDT"))
    first = watched.symbols(1)
    save(watched.path, text_of("CUSDT"))

    assert first == ["BUSDT"]
    assert watched.symbols(2) == ["BUSDT", "CUSDT"]
    assert len(watched.looks) == 2


def test_a_swapped_configmap_link_is_seen(tmp_path: Path) -> None:
    """Kubernetes: the file is a link through `..data`, and `..data` is a link that is replaced."""
    for version, symbol in (("v1", "AUSDT"), ("v2", "BUSDT"), ("v3", "CUSDT")):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "fullpool.toml").write_text(text_of(symbol))
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "fullpool.toml").symlink_to("..data/fullpool.toml")
    watched = Watched(tmp_path / "fullpool.toml")

    for number, version in enumerate(("v2", "v3"), start=1):
        (tmp_path / "..new").symlink_to(f"..{version}")
        (tmp_path / "..new").replace(tmp_path / "..data")
        watched.symbols(number)
    watched.stop.set()
    watched.thread.join()

    assert watched.symbols(2, settled_s=0) == ["BUSDT", "CUSDT"]
    assert len(watched.looks) == 2


def test_a_links_target_is_watched_too(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.toml"
    target.write_text(text_of("AUSDT"))
    (tmp_path / "etc" / "fullpool.toml").symlink_to(target)
    watched = Watched(tmp_path / "etc" / "fullpool.toml")

    target.write_text(text_of("BUSDT"))
    found = watched.symbols(1)
    watched.stop.set()
    watched.thread.join()

    assert found == ["BUSDT"]


def test_changing_nothing_causes_no_look(watched: Watched) -> None:
    watched.path.touch()
    renamed(watched.path, watched.path.read_text())
    watched.path.chmod(0o600)
    in_place(watched.path, "# a comment\n" + text_of("AUSDT"))
    wait(3)

    assert watched.looks == []


def test_wrong_files_are_told_only_once(watched: Watched) -> None:
    in_place(watched.path, "[lke]\n")
    watched.symbols(1)
    watched.path.touch()
    wait(2.5)
    in_place(watched.path, text_of("AUSDT"))

    assert watched.symbols(2) == ["AUSDT"]  # what was in force all along, and is told of again
    error = watched.looks[0].error
    assert error is not None
    assert "did you mean lake?" in str(error)
    assert len(watched.looks) == 2


def test_edits_that_cannot_apply_are_refused(watched: Watched) -> None:
    watched.refuse = "another lake"
    in_place(watched.path, text_of("BUSDT"))
    watched.symbols(1)

    assert [str(look.error).splitlines()[-1].strip() for look in watched.looks] == ["another lake"]


def test_a_file_staying_away_is_told(watched: Watched) -> None:
    watched.path.unlink()
    watched.symbols(1)

    assert "there is no such file" in str(watched.looks[0].error)


def test_a_file_that_is_back_is_taken_back(watched: Watched) -> None:
    aside = watched.path.with_name("aside")
    watched.path.rename(aside)
    watched.asked.set()
    watched.symbols(1, settled_s=0)
    aside.rename(watched.path)

    assert watched.symbols(2) == ["AUSDT"]
    assert [look.error is None for look in watched.looks] == [False, True]


def test_asking_gets_an_answer_without_changes(watched: Watched) -> None:
    watched.asked.set()
    watched.symbols(1, settled_s=0)

    assert [look.is_asked for look in watched.looks] == [True]
    assert not watched.looks[0].is_news


def test_asking_repeats_the_refusal(watched: Watched) -> None:
    in_place(watched.path, "x")
    watched.symbols(1)
    watched.asked.set()
    watched.symbols(2)

    assert [(look.is_asked, look.is_new) for look in watched.looks] == [
        (False, True),
        (True, False),
    ]
    assert watched.looks[1].error is not None
