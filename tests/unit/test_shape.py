"""The shape of the code: what fits on a screen, and one thought at a time."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "daemon").rglob("*.py"))
MAX_FUNCTION_LINES, MAX_MODULE_LINES = 40, 400
MAX_CLASS_LINES, MAX_METHODS = 200, 20
MAX_WORDS, MEDIAN_WORDS = 10, 6
MAX_DECISIONS, MAX_COMPLEX = 10, 5
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DECISIONS = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler)


def nodes() -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            yield str(path.relative_to(ROOT / "daemon")), node


def lines_of(node: ast.FunctionDef | ast.ClassDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_no_module_exceeds_a_few_screens() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCES}

    assert {name: n for name, n in lengths.items() if n > MAX_MODULE_LINES} == {}


def test_no_function_exceeds_one_screen() -> None:
    found = {
        f"{path}:{node.name}": lines_of(node)
        for path, node in nodes()
        if isinstance(node, ast.FunctionDef)
    }

    assert {name: n for name, n in found.items() if n > MAX_FUNCTION_LINES} == {}


def decisions_in(function: ast.FunctionDef) -> int:
    """Count the ways through a function, as cyclomatic complexity does, with `and` and `or`."""
    count = 1
    for node in ast.walk(function):
        if isinstance(node, DECISIONS):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
        elif isinstance(node, ast.match_case):
            count += not isinstance(node.pattern, ast.MatchAs)
    return count


def test_few_functions_decide_much() -> None:
    counts = {
        f"{path}:{node.name}": decisions_in(node)
        for path, node in nodes()
        if isinstance(node, ast.FunctionDef)
    }
    complex_ones = {name: count for name, count in counts.items() if count > MAX_DECISIONS}

    assert len(complex_ones) <= MAX_COMPLEX, complex_ones


def test_no_class_does_too_much() -> None:
    too_much = []
    for path, node in nodes():
        if isinstance(node, ast.ClassDef):
            methods = sum(isinstance(part, ast.FunctionDef) for part in node.body)
            if lines_of(node) > MAX_CLASS_LINES or methods > MAX_METHODS:
                too_much.append((path, node.name, lines_of(node), methods))

    assert too_much == []


def test_no_comprehension_is_inside_another() -> None:
    nested = []
    for path, node in nodes():
        if isinstance(node, COMPREHENSIONS):
            inside = sum(isinstance(part, COMPREHENSIONS) for part in ast.walk(node))
            nested += [f"{path}:{node.lineno}"] if inside > 1 else []

    assert nested == []


def test_the_module_table_matches_the_modules() -> None:
    """ARCHITECTURE repeats the first line of each module's docstring, and has nothing else."""
    text = (ROOT / "ARCHITECTURE.md").read_text().split("\n## Modules\n")[1].split("\n## ")[0]
    told = re.findall(r"^\| `([\w/.]+)` \| (.+) \|$", text, re.MULTILINE)
    package = ROOT / "daemon" / "fullpool"
    modules = {}
    for path in SOURCES:
        if path.name not in ("__init__.py", "__main__.py"):
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            modules[str(path.relative_to(package)).removesuffix(".py")] = first

    assert dict(told) == modules
    assert len(told) == len(modules)


GIVEN_UP = (
    "Heard", "Talk", "Mending", "Absence", "no_memory", "house.kept", "rest.away", "row.differs",
    "archive.revised", "archive.published", "series.unlisted", "sync.differences", "enough",
    "settled", "lacking", "unlisted",
)  # fmt: skip


def test_given_up_words_stay_so() -> None:
    """ARCHITECTURE has a glossary: one word per idea."""
    texts = [path for path in SOURCES if path.name != "migrations.py"]
    texts += [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")]
    found = []
    for path in texts:
        text = path.read_text()
        words = [w for w in GIVEN_UP if re.search(rf"(?<![\w.]){re.escape(w)}(?!\w)", text)]
        found += [f"{path.name}: {word}" for word in words]

    assert found == []


def test_no_text_names_a_missing_document() -> None:
    texts = [*SOURCES, *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    gone = re.compile(r"\b((?:DOMAIN|DAEMON|SPEED|DESIGN|LAKE|PEERS|SCALE)(?:\.md| \d))")
    links = re.compile(r"\]\(([\w./-]+)[#)]")
    wrong = []
    for path in texts:
        text = path.read_text()
        wrong += [f"{path.name}: {name}" for name in gone.findall(text)]
        if path.suffix == ".md":
            named = [path.parent / name for name in links.findall(text)]
            wrong += [f"{path.name}: {name}" for name in named if not name.exists()]

    assert wrong == []


def test_names_of_tests_are_short() -> None:
    words = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^ *def (test_\w+)\(", path.read_text(), re.MULTILINE):
            words[f"{path.name}::{name}"] = name.count("_")

    assert {name: n for name, n in words.items() if n > MAX_WORDS} == {}
    assert median(words.values()) <= MEDIAN_WORDS


def test_tests_called_slow_exist() -> None:
    for line in (ROOT / "tests" / "slow.txt").read_text().split():
        file, *names = line.split("::")
        source = (ROOT / file).read_text()
        assert re.search(rf"^(def|class) {names[0]}\b|^{names[0]} = ", source, re.MULTILINE), line


def test_there_is_no_package_called_daemon() -> None:
    assert not (ROOT / "daemon" / "__init__.py").exists()
