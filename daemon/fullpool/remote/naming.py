"""Names of objects: some engines cannot read one with letters that are not ASCII. Pure."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

from fullpool.kinds import KINDS
from fullpool.store.partitions import tails
from fullpool.store.tree import CATALOGUE_NAME

# Stands for the sign that such letters are usually written with, which engines would decode.
_ESCAPE: Final = "~"
# The newest generation's catalogue, and the folders of all of them and of the tables' metadata.
NEWEST: Final = CATALOGUE_NAME
CATALOGUES: Final = ".catalogue"
TABLES: Final = "_iceberg"
FOLDERS: Final = (
    *sorted(kind.table for kind in KINDS.values()), tails.FOLDER, CATALOGUES, TABLES,
)  # fmt: skip
_KINDS: Final = "|".join(re.escape(kind.table) for kind in KINDS.values())
_OWN: Final = re.compile(
    rf"({tails.FOLDER}/)?({_KINDS})/market=[^/]+/([a-z]+=[^/]+/)*[^/]+\.g[0-9]{{6,}}\.parquet"
    rf"|{re.escape(CATALOGUES)}/([0-9]{{6,}}|skeleton)/.+|{TABLES}/({_KINDS})/metadata/[^/]+"
    rf"|{re.escape(NEWEST)}"
)


def is_own(name: str) -> bool:
    """Whether an object has a name that we give: nothing else is ever deleted."""
    return _OWN.fullmatch(name) is not None


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
