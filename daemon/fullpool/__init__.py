"""Keeps a lake of Binance market data at full pool."""

import gc
from typing import Final

__version__: Final = "0.1.0"


def collect_rarely() -> None:
    """Spare most of the garbage collector's work: a pass makes few cycles and many small values.

    Measured on 2,000 small archives: 7 % of all CPU time; and a tenth of the start, for what is
    loaded stays.
    """
    gc.set_threshold(100_000, 50, 50)
