"""Finds and reads the configuration, the lake's path and the TLS settings."""

import shlex
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fullpool.app import clock
from fullpool.config import Config, Lake, Network, lake_path_in, parse_bytes
from fullpool.errors import ConfigError, UntrustedError, UsageError
from fullpool.store.tree import Tree, lake_at


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), (f"cannot be read: {error}",)) from error
    return parse_bytes(content, str(path))


def checked_config(path: Path) -> Config:
    """Read a configuration file and what it names. Raises ConfigError."""
    config = load_config(path)
    require_certificates(config, str(path))
    return config


def load_lake_config(config: Path | None, lake: Path | None) -> Config:
    """Return the configuration, or what stands for one where only the *lake* is named."""
    if lake is None:
        return load_config(find_config(config))
    return Config(lake=Lake(path=str(lake)), dataset=())


def load_for_reading(
    config: Path | None, lake: Path | None, tell: Callable[[str], object]
) -> Config:
    """Return the same for what only reads a lake, also where all but its path is wrong.

    *tell* is told of that. Raises ConfigError if there is no path to be had.
    """
    try:
        return load_lake_config(config, lake)
    except ConfigError:
        path = find_config(config)
        try:
            text = path.read_text("utf-8-sig", errors="replace")
        except OSError:
            text = "no TOML"
        root = lake_path_in(text, Lake().path)
        if not root:
            raise
        what = f"wrong; `fullpool check {shlex.quote(str(path))}` lists what"
        tell(f"{path} is {what}. Only its lake.path is used: {root}\n")
        return Config(lake=Lake(path=root), dataset=())


def find_config(given: Path | None) -> Path:
    """Return the configuration file to use: the one given, else the first of the usual places.

    Raises ConfigError if there is none.
    """
    if given is not None:
        return given
    places = _usual_places()
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(str(place) for place in places)
    raise ConfigError("the configuration", (f"no file found; looked for {looked}",))


def load_any_config(given: Path | None) -> Config:
    """Return the configuration, or the defaults where there is none."""
    is_there = given is not None or any(place.exists() for place in _usual_places())
    return load_config(find_config(given)) if is_there else Config(dataset=())


def _usual_places() -> list[Path]:
    named = clock.variable("FULLPOOL_CONFIG")
    return [Path(named)] if named else [*map(Path, _PLACES), *_at_home(), _SYSTEM_WIDE]


def _at_home() -> list[Path]:
    """Return where a user's own configuration is; nowhere if the user has no home."""
    try:
        return [Path("~/.config/fullpool/fullpool.toml").expanduser()]
    except RuntimeError:
        return []


_PLACES: Final = ("fullpool.toml", "config/fullpool.toml")
_SYSTEM_WIDE: Final = Path("/etc/fullpool/fullpool.toml")


def tree_of(config: Config) -> Tree:
    """Return the lake's tree.

    Raises UsageError for the home of a user that is not there, and where DuckDB would not find the
    files, or would have a folder's name stand in every row.
    """
    try:
        return lake_at(Path(config.lake.path).expanduser().absolute())
    except RuntimeError as error:
        raise UsageError(
            f"looking for the lake {config.lake.path}: {error}", hint="give the path in full"
        ) from error


def require_certificates(config: Config, source: str) -> None:
    """Raise ConfigError if the configuration *source* names a file that holds no certificates."""
    if not config.network.ca_file:
        return  # those of the machine are loaded when they are used
    try:
        tls_context(config.network)
    except UntrustedError as error:
        raise ConfigError(source, (f"{error}; {error.hint}",)) from error


def tls_context(network: Network) -> ssl.SSLContext:
    """Return the TLS settings of all connections. Raises UntrustedError."""
    try:
        context = ssl.create_default_context(cafile=network.ca_file or None)
        # Python 3.13 and newer refuse what many companies' own certificates lack.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    except OSError as error:
        raise UntrustedError(
            f"loading the CA certificates {network.ca_file}: {error}",
            hint="check network.ca_file: it must be a file of PEM certificates",
        ) from error
    return context
