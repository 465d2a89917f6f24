"""Keeps a lake of Binance market data at full pool."""

from typing import Final

__version__: Final = "0.1.0"
