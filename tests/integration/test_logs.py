"""What a line of the log looks like."""

import io
import json
import os
import pty

import pytest

from fullpool import logs
from fullpool.sync.archives import rounds
from lab import DAY, MINUTE, Lab, at, bars
from served import dataset


def test_terminals_show_time_and_event_first() -> None:
    ours, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        logs.configure("INFO", stream)
        logs.get_logger().info("archive.imported", archive="one", rows=3)
        line = os.read(ours, 1000).decode()
    os.close(ours)
    logs.configure("CRITICAL")

    words = [word for word in line.split() if "archive" in word or word.startswith("\x1b[2m20")]
    assert words[0].startswith("\x1b[2m20")
    assert "archive.imported" in words[1]


def test_elsewhere_each_line_is_an_object() -> None:
    stream = io.StringIO()
    logs.configure("INFO", stream)
    logs.get_logger().info("archive.imported", rows=3)
    logs.get_logger().debug("archive.rechecked")
    logs.configure("CRITICAL")

    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["rows"], told["level"]) == ("archive.imported", 3, "info")
    assert told["at"].endswith("Z")


def test_many_archives_are_told_as_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MANY", 2), ("TELL_EVERY_S", 0.0), ("RECORD_EVERY_S", 0.0)):
        monkeypatch.setattr(rounds, name, value)
    stream = io.StringIO()
    with Lab(dataset("spot/klines/AUSDT/1m", start="2024-03-08", end="2024-03-10")) as lab:
        for day in ("2024-03-08", "2024-03-09", "2024-03-10"):
            key = f"data/spot/daily/klines/AUSDT/1m/AUSDT-1m-{day}.zip"
            lab.put(key, bars(at(day), at(day) + DAY, MINUTE))
        logs.configure("INFO", stream)
        lab.run("sync", "2024-03-12T12:00")
    logs.configure("CRITICAL")

    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert "archive.imported" not in {one["event"] for one in told}
    (progress,) = [one for one in told if one["event"] == "pass.progressed"]
    assert (progress["archives"], progress["of"]) == (3, 3)
