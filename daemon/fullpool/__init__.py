"""Keeps a lake of Binance market data at full pool, and reads it: `fullpool.open(path)`."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from fullpool.errors import FullpoolError
    from fullpool.lake import Lake, Rows

__version__: Final = "0.1.0"
# Not `open`: `from fullpool import *` would hide Python's own.
__all__ = ["FullpoolError", "Lake", "Rows", "__version__"]

# Where a name is from that is loaded when it is used: DuckDB takes a tenth of a second.
_LATER: Final = {"FullpoolError": "errors", "Lake": "lake", "Rows": "lake"}


def open(  # noqa: A001 - `fullpool.open` is what people look for
    path: str | Path | None = None,
    *,
    as_of: "int | str | datetime | None" = None,
    settings: "Mapping[str, str | int] | None" = None,
) -> "Lake":
    """Open a lake for reading: its folder, or the one of the configuration that commands use.

    *as_of*: a generation, or a time whose newest generation is meant. *settings* are DuckDB's, such
    as `{"memory_limit": "4GB", "threads": 2}`. Raises NoLakeError if there is none, UsageError if
    *as_of* is neither, ConfigError if there is no *path* and no configuration.
    """
    from fullpool.lake import Lake  # noqa: PLC0415

    if path is None:
        from warnings import warn  # noqa: PLC0415

        from fullpool.app.configuration import load_for_reading, tree_of  # noqa: PLC0415

        path = tree_of(load_for_reading(None, None, warn)).root
    return Lake(path, as_of, settings)


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


def collect_rarely() -> None:
    """Spare most of the garbage collector's work: a pass makes few cycles and many small values.

    Measured on 2,000 small archives: 7 % of all CPU time; and a tenth of the start, for what is
    loaded stays.
    """
    gc.set_threshold(100_000, 50, 50)
