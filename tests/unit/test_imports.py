"""The rules of imports hold: each of these is planted, and has to be caught by its own rule."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PLANTED = (
    ("sync/passes.py", "import httpx", "httpx and httpcore belong to the pool"),
    ("rest/client.py", "import httpcore", "httpx and httpcore belong to the pool"),
    ("app/verify.py", "import duckdb", "duckdb belongs to store"),
    ("metrics.py", "import duckdb", "duckdb belongs to store"),
    ("rest/questions.py", "import http.client", "http belongs to vision"),
    ("store/partitions/build.py", "import zipfile", "zipfile and isal belong to decode"),
    ("sync/steps/fetch.py", "from isal import igzip", "zipfile and isal belong to decode"),
    ("store/state/writer.py", "import structlog", "structlog and logging belong to logs"),
    ("vision/opener.py", "import logging", "structlog and logging belong to logs"),
    ("jobs.py", "import pydantic", "pydantic and tomllib belong to config"),
    ("app/syncing.py", "import typer", "typer and rich belong to cli"),
    ("app/service/progress.py", "from rich.text import Text", "typer and rich belong to cli"),
    ("app/service/daemon.py", "import apscheduler", "apscheduler belongs to jobs"),
    ("app/service/control.py", "import watchfiles", "watchfiles belongs to reload"),
    ("overview/states.py", "import jinja2", "starlette, uvicorn and jinja2 belong to web"),
    ("overview/coverage_map.py", "from fullpool import web", "Imports point down"),
    ("store/duck.py", "import pyarrow", "pyarrow and nautilus_trader belong to export"),
    (
        "app/service/reporting.py",
        "import prometheus_client",
        "prometheus_client belongs to metrics",
    ),
    (
        "vision/archives.py",
        "import orjson",
        "orjson belongs to the client of the REST API",
    ),
    ("remote/publisher.py", "import obstore", "obstore belongs to the bucket"),
    ("app/syncing.py", "import distributed", "distributed belongs to the cluster"),
    ("remote/tables.py", "import deltalake", "deltalake belongs to its tables"),
    ("app/syncing.py", "import pyiceberg", "pyiceberg belongs to remote"),
    ("store/tree.py", "from fullpool import remote", "Imports point down"),
    ("planning.py", "import time", "The core decides"),
    ("gaps.py", "import os", "The core decides"),
    ("ladder.py", "from fullpool import logs", "Imports point down"),
    ("planning.py", "from fullpool import ladder", "Imports point down"),
    ("store/state/writer.py", "from fullpool.store.catalogue import views", "Inside store"),
    ("store/partitions/rows.py", "from fullpool.store.state import bulk", "Inside store"),
    ("sync/archives/due.py", "from fullpool.sync.gaps import asker", "Inside sync"),
    ("simulator/api.py", "from fullpool import errors", "The simulator imports nothing of ours"),
    ("sync/preview.py", "from fullpool import simulator", "The simulator is started by cli"),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    shutil.copytree(
        ROOT / "daemon", folder / "daemon", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_code_breaks_no_rule(copy: Path) -> None:
    assert broken(copy) == []


@pytest.mark.parametrize(("module", "line", "rule"), PLANTED, ids=str)
def test_an_illegal_import_is_caught(copy: Path, module: str, line: str, rule: str) -> None:
    path = copy / "daemon" / "fullpool" / module
    text = path.read_text()
    path.write_text(f"{text}\n{line}\n")
    try:
        assert [name for name in broken(copy) if name.startswith(rule)]
    finally:
        path.write_text(text)


def broken(folder: Path) -> list[str]:
    """Return the names of the contracts that the code below *folder* breaks."""
    command = [
        sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()",
        "--no-cache",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": "daemon"}, text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return re.findall(r"^(.+) BROKEN", done.stdout, re.MULTILINE)
