"""Declares the other commands: options in, one call of app, its result out."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fullpool.app.signals import leave, stop_on_signals, when_stopped
from fullpool.cli.program import (
    AsOfOption,
    ConfigOption,
    JsonOption,
    LakeOption,
    Level,
    LogOption,
    program,
    settings_to_read,
)
from fullpool.errors import Exit, NoLakeError, UsageError
from fullpool.store.tree import Tree

# A table is for looking at: to lay out a million rows takes an hour.
MAX_TABLE_ROWS: Final = 1000
_WATCH_EVERY_S: Final = 2.0


@program.command()
def sync(
    config: ConfigOption = None,
    log_level: LogOption = Level.ERROR,
    json: JsonOption = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Look for republished and late archives now.")
    ] = False,
    on: Annotated[
        str | None, typer.Option("--on", help="Scheduler of a cluster: dask://host:8786.")
    ] = None,
) -> None:
    """Download and import everything due. Exits 0 if everything available was imported.

    Failed archives are retried in later rounds; those that still fail are listed, and the exit code
    is 4. Run it as often as you like: if nothing is new, nothing is downloaded. The first run of a
    day compares the lake with the vendor's listing, to find archives that were republished or
    published late.
    """
    from fullpool import logs
    from fullpool.app import syncing
    from fullpool.app.configuration import find_config, load_config
    from fullpool.cli import pass_report, screen
    from fullpool.cli.clusters import elsewhere
    from fullpool.cli.publishing import publish_after_sync

    logs.configure(log_level.upper())
    stop = stop_on_signals("stopped; finished work is kept, the rest resumes on the next run")
    act = syncing.audited_sync if audit else syncing.sync
    settings = load_config(find_config(config))
    with screen.watcher() as watcher:
        outcome = act(settings, watcher, stop, elsewhere=elsewhere(settings, on, watcher, stop))
    pass_report.outcome(outcome, is_json=json)
    failure = None if stop.is_set() else publish_after_sync(settings, is_quiet=json)
    if failure and outcome.troubles:  # which are what the command ends with
        sys.stderr.write(f"error: {failure}\nhint: {failure.hint}\n")
    syncing.require_complete(outcome)
    if failure:
        raise failure


@program.command()
def run(config: ConfigOption = None, log_level: LogOption = Level.INFO) -> None:
    """Run the daemon, which keeps the lake up to date.

    It imports what is due, fills gaps from the API, and notices republished archives. A valid edit
    of the configuration is applied at once, an invalid one is refused; SIGHUP reloads it. SIGTERM
    or Ctrl-C stops it within seconds, a second one at once.
    """
    from fullpool import logs
    from fullpool.app import clock
    from fullpool.app.configuration import find_config, load_config
    from fullpool.app.service import daemon
    from fullpool.app.service.control import look_on_signal

    logs.configure(log_level.upper(), journal=clock.variable("JOURNAL_STREAM"))
    stop, asked = stop_on_signals(), look_on_signal()
    path = find_config(config).absolute()
    daemon.run(path, load_config(path), stop, asked)
    leave(Exit.OK)


@program.command()
def reload(
    config: ConfigOption = None,
    lake: LakeOption = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 30.0,
) -> None:
    """Reload the daemon's configuration; fail if it is invalid."""
    from fullpool.app.service.reload_request import ask_to_reload

    sys.stdout.write(ask_to_reload(_tree(config, lake), timeout) + "\n")


@program.command()
def plan(
    config: ConfigOption = None,
    json: JsonOption = False,
    archives: Annotated[
        bool, typer.Option("--archives", help="List every archive, not only totals.")
    ] = False,
) -> None:
    """Show what the next sync would download, and why. Changes nothing.

    Pass an edited copy with --config to see the effect of an edit.
    """
    from fullpool.app import syncing
    from fullpool.app.configuration import find_config, load_config
    from fullpool.cli import pass_report, screen

    settings = load_config(find_config(config))
    with screen.watcher() as watcher:
        found = syncing.plan(settings, watcher, stop_on_signals())
    pass_report.plan(found, is_json=json, is_detailed=archives)
    syncing.require_listed(found)


@program.command()
def symbols(
    pattern: Annotated[
        str, typer.Argument(help="MARKET/[KIND/]PATTERN[/INTERVAL], such as 'um/*USDT'.")
    ],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the symbols that the vendor has.

    With first and last day, status and size. Needs no lake.

    Without a kind, klines; without an interval, the size is that of 1d.
    """
    from fullpool.app.configuration import load_any_config
    from fullpool.app.symbols import found_symbols, wanted_in
    from fullpool.cli import report

    wanted = wanted_in(pattern)
    found = found_symbols(load_any_config(config), wanted, stop_on_signals())
    report.symbols(found, is_json=json)


@program.command()
def status(  # noqa: PLR0917 - a command has as many parameters as it has options
    config: ConfigOption = None,
    lake: LakeOption = None,
    json: JsonOption = False,
    series: Annotated[bool, typer.Option("--series", help="A row for every series.")] = False,
    symbol: Annotated[str, typer.Option(help="A row for every series of this symbol.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every 2 seconds.")] = False,
    as_map: Annotated[
        bool, typer.Option("--map", help="Draw the coverage of every series by month.")
    ] = False,
) -> None:
    """Show what is held, how fresh it is, and what is missing."""
    from fullpool.app import clock
    from fullpool.cli import screen, status_report

    if as_map and (json or series):
        raise typer.BadParameter("--map cannot be combined with --json or --series")
    settings = settings_to_read(config, lake)
    shown = status_report.Shown(json, series, symbol, as_map)
    if not watch:
        status_report.show(settings, shown)
        return
    stop = stop_on_signals()
    while not stop.is_set():
        screen.clear()
        try:
            status_report.show(settings, shown)
        except NoLakeError as error:  # before the first sync has published
            sys.stdout.write(f"{error}\n")
        sys.stdout.flush()
        clock.sleeper(stop)(_WATCH_EVERY_S)


@program.command()
def gaps(
    config: ConfigOption = None,
    lake: LakeOption = None,
    symbol: Annotated[str, typer.Option(help="Only this symbol.")] = "",
    json: JsonOption = False,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only gaps without an explanation.")
    ] = False,
) -> None:
    """List missing rows, the reason, and when they are retried.

    A gap is open until a source has its rows or it is explained: empty_at_source (the API has the
    rows around it), not_listed, delisted, not_published (its archive is not late yet),
    suspended, relisted, no_archive, too_old_for_api, unknown_to_api, api_refused.
    """
    from fullpool.cli import report
    from fullpool.store.catalogue.reader import reading

    with reading(_tree(config, lake)) as reader:
        report.require_symbol(reader, symbol)
        report.gaps(reader, symbol=symbol, is_open=only_open, is_json=json)


@program.command()
def revisions(
    config: ConfigOption = None,
    lake: LakeOption = None,
    symbol: Annotated[str, typer.Option(help="Only this symbol.")] = "",
    json: JsonOption = False,
) -> None:
    """List republished archives, and the rows that changed."""
    from fullpool.cli import report
    from fullpool.store.catalogue.reader import reading

    with reading(_tree(config, lake)) as reader:
        report.require_symbol(reader, symbol)
        report.revisions(reader, symbol=symbol, is_json=json)


@program.command()
def sql(  # noqa: PLR0917 - a command has as many parameters as it has options
    query: Annotated[
        str, typer.Argument(help="One SQL statement; - reads it from standard input.")
    ] = "",
    config: ConfigOption = None,
    lake: LakeOption = None,
    as_of: AsOfOption = None,
    json: JsonOption = False,
    as_ndjson: Annotated[
        bool, typer.Option("--ndjson", help="Print one JSON object per line.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    parquet: Annotated[
        Path | None, typer.Option(metavar="<path>", help="Write a Parquet file instead.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="<path>", help="Read the SQL from a file."),
    ] = None,
) -> None:
    """Run a query: `fullpool sql "FROM klines LIMIT 5"`.

    Every kind of data has a view with doubles, such as klines, agg_trades, trades, metrics or
    funding_rate, and the same with _exact with decimals. The schema sync describes the lake.
    "SHOW ALL TABLES" lists them all. A table has at most 1,000 rows; --csv, --json and --ndjson
    print all of them as they come.
    """
    from fullpool.cli import screen
    from fullpool.store.catalogue.reader import reading

    asked = {"--csv": as_csv, "--json": json, "--ndjson": as_ndjson, "--parquet": bool(parquet)}
    format_name = _only_one(asked)
    text, tree = _readable(query, file), _tree(config, lake)
    if parquet is not None:
        _write_parquet(tree, as_of, text, parquet)
        return
    with reading(tree, as_of) as reader:
        screen.show_stream(reader.stream(text), format_name.removeprefix("--"), MAX_TABLE_ROWS)


def _write_parquet(tree: Tree, as_of: str | None, text: str, target: Path) -> None:
    """Write what a query selects to a file, and say how many rows that were."""
    from fullpool.app.service.progress import counted
    from fullpool.store.catalogue.reader import reading
    from fullpool.store.targets import file_to_write

    file = file_to_write(tree, target)
    with reading(tree, as_of) as reader:
        when_stopped(reader.interrupt)  # so that nothing is left of the file
        count = counted(reader.write(text, file), "row")
    sys.stdout.write(f"{count} written to {target}\n")


def _only_one(asked: dict[str, bool]) -> str:
    """Return the option that was given of some that exclude each other; "" if none was."""
    given = [name for name, is_given in asked.items() if is_given]
    if len(given) > 1:
        both = " and ".join(given)
        raise UsageError(f"querying the lake: {both} were given", hint="give one of them")
    return "".join(given)


def _readable(query: str, file: Path | None) -> str:
    """Return the SQL: an argument, standard input or a file. Raises UsageError if it is no text."""
    if bool(query) == (file is not None):
        raise UsageError(
            "reading the SQL: give it as the argument, or a file with -f",
            hint="`fullpool sql 'FROM klines LIMIT 5'`",
        )
    try:
        if file is not None:
            return file.read_bytes().decode()
        return (sys.stdin.buffer.read() if query == "-" else os.fsencode(query)).decode()
    except OSError as error:
        raise UsageError(f"reading the SQL: {error}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"reading the SQL: {error}", hint="pass it in UTF-8") from error


@program.command()
def generations(
    config: ConfigOption = None, lake: LakeOption = None, json: JsonOption = False
) -> None:
    """List the past states that --as-of can read."""
    from fullpool.cli import screen
    from fullpool.store.catalogue import reader

    tree = _tree(config, lake)
    found: list[dict[str, Any]] = [
        {
            "generation": generation.number,
            "published_at": generation.published_at,
            "current": generation.is_current,
        }
        for generation in reader.generations(tree)
    ]
    if not found:
        raise NoLakeError(f"listing the generations of {tree.root}: there are none")
    if json:
        screen.show_json(found)
    else:
        screen.show_table("", tuple(found[0]), [tuple(one.values()) for one in found])


@program.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="The file to check. Default: as for other commands.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check a configuration file, and report every error."""
    from fullpool.app.configuration import checked_config, find_config
    from fullpool.app.remarks import remarks_on
    from fullpool.cli import report

    file = find_config(file)
    checked = checked_config(file)
    remarks = [*report.choices(checked), *remarks_on(checked)]
    report.config(checked, file, remarks, is_json=json)


def _tree(config: Path | None, lake: Path | None) -> Tree:
    from fullpool.app.configuration import tree_of

    return tree_of(settings_to_read(config, lake))
