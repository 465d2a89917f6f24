"""The shape of the code: functions of at most 40 lines, modules of at most 400."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "daemon").rglob("*.py"))
MAX_FUNCTION_LINES, MAX_MODULE_LINES = 40, 400


def test_no_module_is_longer_than_a_few_screens() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCES}

    assert {name: n for name, n in lengths.items() if n > MAX_MODULE_LINES} == {}


def test_no_function_is_longer_than_one_screen() -> None:
    found = {
        f"{path.name}:{node.name}": node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    }

    assert {name: n for name, n in found.items() if n > MAX_FUNCTION_LINES} == {}


def test_there_is_no_package_called_daemon() -> None:
    assert not (ROOT / "daemon" / "__init__.py").exists()
