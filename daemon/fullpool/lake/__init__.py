"""Reading a lake from Python: `fullpool.open(path)`."""

from fullpool.lake.asking import Time
from fullpool.lake.lake import Lake
from fullpool.lake.rows import Rows

__all__ = ["Lake", "Rows", "Time"]
