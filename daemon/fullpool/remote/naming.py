"""Names of objects: some engines cannot read one with letters that are not ASCII. Pure."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

# Stands for the sign that such letters are usually written with, which engines would decode.
_ESCAPE: Final = "~"


def table_name(path: str) -> str:
    """Return the name that a table has a file of the lake by; mostly the file's own path.

    Sail asks for `symbol=%E5%B8%81` where a table says `symbol=币`.
    """
    return path if path.isascii() else quote(path, safe="/=").replace("%", _ESCAPE)


def names_of(paths: Iterable[str]) -> list[str]:
    """Return the names of the objects that files of the lake become: the catalogue's, and these."""
    return [name for path in paths for name in dict.fromkeys((path, table_name(path)))]


def path_of(name: str) -> str:
    """Return the path in the lake of the file that an object is."""
    return unquote(name.replace(_ESCAPE, "%")) if _ESCAPE in name else name
