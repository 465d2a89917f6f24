"""Whether what publishing needs is installed."""

from importlib import import_module
from typing import Final

from fullpool.errors import RemoteError

_NEEDED: Final = ("obstore", "pyiceberg")


def require_installed(doing: str) -> None:
    """Raise RemoteError if the extra `s3` is not installed."""
    try:
        for name in _NEEDED:
            import_module(name)
    except ImportError as error:
        raise RemoteError(f"{doing}: {error}", hint="run: pip install 'fullpool[s3]'") from error
