"""Draws what `make demo` prints, as a picture of a terminal. Usage: terminal.py FILE."""

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

_WIDTH: Final = 100
# What comes after the first table is more of the same.
_LAST: Final = "└"
# Nothing is loaded from elsewhere: a reader's own font will do.
_FORMAT: Final = """\
<svg class="terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


def shown() -> str:
    """Return what a new user's first command prints, up to its first answer."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "fullpool", "demo"],
            check=True, capture_output=True, text=True, cwd=folder, env={"COLUMNS": str(_WIDTH)},
        )  # fmt: skip
    lines = done.stdout.splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith(_LAST))
    return "\n".join(["$ make demo", *lines[: end + 1]])


def main(target: Path) -> None:
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), legacy_windows=False)
    console.print(Text(shown()), soft_wrap=False)
    console.save_svg(str(target), title="fullpool", theme=MONOKAI, code_format=_FORMAT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
