"""What the documentation says is so: its columns, its queries, its commands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import fullpool
from fullpool.cli.program import program
from fullpool.kinds import KINDS
from fullpool.store.catalogue.reader import Reader, reading
from fullpool.store.tree import Tree

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
SCHEMA = (DOCS / "schema.md").read_text()
# Relations of a catalogue that people read.
PUBLIC = """SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal
    UNION ALL SELECT schema_name, table_name FROM duckdb_tables()"""
# A row of a table of columns: the name, its type, the type in the exact view, the meaning.
ROW = re.compile(r"^\| `(\w+)` \| ([A-Z]+(?:\(\d+,\d+\))?) \|(?: ([A-Z0-9(),]*) ?\|)? (.+) \|$")


@pytest.fixture
def lake(demo_lake: Path) -> Path:
    return demo_lake


@pytest.fixture
def reader(lake: Path) -> Iterator[Reader]:
    with reading(Tree(lake)) as found:
        yield found


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of code of a page."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [code for name, code in found if name == language]


def described() -> dict[str, dict[str, tuple[str, str]]]:
    """Return the columns of each relation on the page: their types, those of the exact view too."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for part in re.split(r"^### ", SCHEMA, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        rows = [row for line in body.splitlines() if (row := ROW.match(line))]
        columns = {row[1]: (row[2], row[3] or row[2]) for row in rows}
        assert all(row[4].strip() for row in rows), title
        found |= dict.fromkeys(title.split(", "), columns)
    return found


def columns_of(reader: Reader, relation: str) -> dict[str, str]:
    rows = reader.query(f"SELECT column_name, column_type FROM (DESCRIBE FROM {relation})").rows
    return dict(rows)


def test_columns_are_described_with_their_types(reader: Reader) -> None:
    page = described()
    wrong = []
    for schema, name in reader.query(PUBLIC).rows:
        if schema == "internal" or re.search(r"klines_\d+[a-zA-Z]+$", name):
            continue
        plain = name.removesuffix("_exact")
        known = page[plain if schema == "main" else f"{schema}.{plain}"]
        if (schema, name) == ("sync", "open_gaps"):  # which has the columns of gaps
            known = page["sync.gaps"]
        types = {column: both[name.endswith("_exact")] for column, both in known.items()}
        if list(types.items()) != list(columns_of(reader, f"{schema}.{name}").items()):
            wrong.append(name)

    assert wrong == []


def test_every_macro_is_described(reader: Reader) -> None:
    sql = (
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table_macro'"
    )
    there = {name for (name,) in reader.query(f"{sql} AND NOT internal").rows}
    forms = set(re.findall(r"^\| `\w+?_(of|between|latest)\(", SCHEMA, re.MULTILINE))

    tables = [kind.table for kind in KINDS.values()]
    made = {f"{t}_{form}{end}" for t in tables for form in forms for end in ("", "_exact")}
    assert there == {*made, "instruments_on"}
    on = columns_of(reader, "instruments_on(DATE '2024-03-01')")
    assert {name: kind for name, (kind, _) in described()["instruments_on(day_)"].items()} == on


@pytest.mark.parametrize("sql", blocks(DOCS / "cookbook.md", "sql"))
def test_the_queries_of_the_cookbook_run(reader: Reader, tmp_path: Path, sql: str) -> None:
    rows = reader.query(sql.replace("'btcusdt.parquet'", f"'{tmp_path / 'btcusdt.parquet'}'")).rows

    assert rows
    assert all(any(value is not None for value in row) for row in rows)


def test_the_cookbook_answers_twenty_questions() -> None:
    text = (DOCS / "cookbook.md").read_text()

    assert text.count("```sql") >= 20
    assert text.count("\n### ") >= text.count("```sql")


def test_the_queries_of_the_readme_run(reader: Reader) -> None:
    resampled, gaps = (reader.query(sql) for sql in blocks(ROOT / "README.md", "sql"))

    assert len(resampled.rows) == 5
    assert {row[8] for row in gaps.rows} >= {"empty_at_source", "delisted"}


def test_the_python_of_the_readme_runs(lake: Path) -> None:
    """Without pandas, which need not be there."""
    (code,) = blocks(ROOT / "README.md", "python")
    code = code.replace("~/fullpool-lake", str(lake)).replace('"1m"', '"1h"')
    names: dict[str, object] = {}
    exec(code.replace("bars.df()", "bars.fetchall()"), names)  # noqa: S102 - our own documentation

    bars = names["bars"]
    assert isinstance(bars, fullpool.Rows)
    assert bars.sql("SELECT count(DISTINCT symbol) FROM these").fetchall() == [(2,)]


def commands() -> list[tuple[str, str]]:
    """Return each command of ours that a page shows, and the page."""
    begun = re.compile(r"(?:^|/|exec fullpool )fullpool (?=[a-z])")
    found = []
    for page in PAGES:
        for block in [*blocks(page, "sh"), *blocks(page, "")]:
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, part) for line in lines for part in begun.split(line)[1:]]
    return found


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_documented_commands_can_be_parsed(page: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if word != "..."]
    group = typer.main.get_group(program)
    context = group.make_context("fullpool", [], resilient_parsing=True)
    command = group.get_command(context, words[0])
    assert command is not None, (page, line)
    command.make_context(words[0], words[1:], parent=context)


def test_figures_are_those_that_were_measured(tmp_path: Path) -> None:
    """As in benchmarks/results; and a text that says something else is found, and put right."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("README.md", "docs", "benchmarks"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
    tool = [sys.executable, str(copy / "benchmarks" / "claims.py")]
    page = copy / "README.md"
    right = page.read_text()
    assert subprocess.run([*tool, "check"], check=False).returncode == 0

    page.write_text(re.sub(r"nothing new \| [\d.]+ s", "nothing new | 0.1 s", right))
    found = subprocess.run([*tool, "write"], check=False, capture_output=True, text=True)
    assert found.returncode == 1
    assert "README.md: | the same 2,000 again, nothing new | 0.1 s, no request |" in found.stdout
    assert page.read_text() == right
    assert subprocess.run([*tool, "check"], check=False).returncode == 0


def test_make_targets_in_texts_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [
        *PAGES,
        ROOT / "CONTRIBUTING.md",
        ROOT / "ARCHITECTURE.md",
        *(DOCS / "adr").glob("*.md"),
    ]
    for page in texts:
        named = set(re.findall(r"`(?:sudo )?make ([a-z0-9-]+)", page.read_text()))
        assert named <= targets, (page.name, named - targets)


def test_decisions_are_numbered_and_listed() -> None:
    pages = sorted(path.name for path in (DOCS / "adr").glob("0*.md"))
    listed = re.findall(r"\]\((0\d+-[\w-]+\.md)\)", (DOCS / "adr" / "README.md").read_text())

    assert listed == pages
    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))
    for name in pages:
        text = (DOCS / "adr" / name).read_text()
        assert text.startswith(f"# {int(name[:4])}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Why"]


def test_pictures_are_there_and_none_unused() -> None:
    shown = {
        os.path.basename(path)  # noqa: PTH119
        for page in PAGES
        for path in re.findall(r"pictures/([\w.-]+)", page.read_text())
    }
    kept = {path.name for path in (DOCS / "pictures").iterdir()}

    assert shown == kept
