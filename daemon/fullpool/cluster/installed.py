"""Whether what a cluster needs is installed."""

from importlib import import_module
from typing import Final

from fullpool.errors import ClusterError

# Dask would log errors that we report ourselves.
_LOGGING: Final = {"distributed": "critical", "distributed.client": "critical"}


def require_installed() -> None:
    """Raise ClusterError if the extra `cluster` is not installed."""
    try:
        import_module("dask").config.set({"logging": _LOGGING})  # it is read at the next import
        import_module("distributed")
    except ImportError as error:
        raise ClusterError(
            f"using a cluster: {error}", hint="run: pip install 'fullpool[cluster]'"
        ) from error
