"""Reading a lake from Python: `fullpool.open(path)`."""

from fullpool.lake.lake import Lake
from fullpool.lake.rows import Rows
from fullpool.lake.selection import Time

__all__ = ["Lake", "Rows", "Time"]
