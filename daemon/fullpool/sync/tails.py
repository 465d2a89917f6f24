"""Takes followed rows out of their files once partitions have them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from fullpool import following, logs
from fullpool.gaps import Patch
from fullpool.kinds import KINDS, grid_of, is_counted, kind_of
from fullpool.model import EVER, PartitionFile, Run, Series, Span, Step
from fullpool.store.partitions import tails
from fullpool.store.partitions.messages import Followed, end_of
from fullpool.store.partitions.tails import TailFile, TailKey, Taken
from fullpool.store.state.writer import State
from fullpool.store.tree import Tree
from fullpool.store.tree import take_out as set_aside

log = logs.get_logger()

_OfSymbols = Mapping[str, Sequence[Taken]]


def taken_in(  # noqa: PLR0913, PLR0917 - what is followed, for which step
    state: State, tree: Tree, step: Step, spans: Sequence[Span], sound: set[str], now: datetime
) -> Followed | None:
    """Return the followed rows that the partitions of a step are to take in, if there are any.

    *spans* are those of the archives and patches that are to be built. The files have the rows of
    all symbols: those that were read whole and found as written are noted in *sound*.
    """
    runs, whole = state.tails.of(step.series), step.unit.span
    until = Span(whole.start, end_of(step, spans)).meet(whole)
    if not runs or runs[0].first_time >= until.end:
        return None
    paths: list[str] = []
    for file in state.tails.files().values():
        if not file.key.fits(step.series) or not following.span_of(file.key.period).overlaps(until):
            continue
        if file.path in sound or tails.is_as_written(tree, file):
            paths.append(file.path)
    sound.update(paths)
    rows = sum(run.rows for run in runs)
    patch = Patch(step.series, until, b"", rows, now, "followed")
    return Followed(tuple(paths), patch, runs[0].first_time) if paths else None


def take_out(state: State, tree: Tree, generation: int, now: datetime) -> None:
    """Write the files again, without the rows that are in partitions by now.

    So no generation shows a row twice.
    """
    overlapped = state.tails.overlapped()
    held = here(state, tree, now, is_thorough=bool(overlapped))
    if not overlapped:
        return
    runs, files = state.tails.runs(), state.queries.files.of(overlapped)
    changed: dict[Series, list[Run]] = {}
    for series in overlapped:
        own, followed = files[series], runs[series]
        left = following.beyond(grid_of(series, own), followed, own)
        if left != followed:
            changed[series] = left
    taken = {series: _taken(files[series]) for series in changed}
    found = {file: _of_file(file, taken) for file in held}
    _write_again(state, tree, found, generation, now)
    state.tails.record([], [], _with_true_ends(state, tree, changed), now)


def _with_true_ends(
    state: State, tree: Tree, runs: Mapping[Series, Sequence[Run]]
) -> dict[Series, Sequence[Run]]:
    """Return runs with the times of their first and last rows: of trades only the files tell."""
    counted = [series for series in runs if is_counted(series)]
    files = list(state.tails.files().values())
    keys = {file.key.of_all_periods for file in files if any(map(file.key.fits, counted))}
    found = dict(runs)
    for series, read in _counted_again(state, tree, keys, files, counted).items():
        known = {(run.first_id, run.last_id): run for run in read}
        found[series] = [known.get((run.first_id, run.last_id), run) for run in runs[series]]
    return found


def forget(
    state: State, tree: Tree, series: Iterable[Series], generation: int, now: datetime
) -> None:
    """Write the files that have rows of *series* again, without these.

    Recorded in one transaction: a file without its runs would show its rows beside those of their
    archive.
    """
    taken = {one: [Taken(EVER)] for one in series}
    new: list[TailFile] = []
    gone: list[TailFile] = []
    try:
        for file in here(state, tree, now, is_thorough=True):
            own = _of_file(file, taken)
            if own and _has_any(state, tree, file, own):
                target = tails.named(file.key, generation)
                rest = tails.without(state.connection, tree, file, target, own)
                new += [rest] if rest else []
                gone.append(file)
    except BaseException:  # on a signal too: nobody else knows of these files
        for file in new:
            (tree.root / file.path).unlink(missing_ok=True)
        raise
    state.tails.record(new, gone, dict.fromkeys(taken, ()), now)


def _has_any(state: State, tree: Tree, file: TailFile, symbols: Iterable[str]) -> bool:
    return not set(symbols).isdisjoint(tails.symbols_in(state.connection, tree, file))


def _write_again(
    state: State, tree: Tree, found: Mapping[TailFile, _OfSymbols], generation: int, now: datetime
) -> None:
    """Write files without what is taken of each, by symbol."""
    for file, own in found.items():
        if own:
            target = tails.named(file.key, generation)
            rest = tails.without(state.connection, tree, file, target, own)
            state.tails.record([rest] if rest else [], [file], {}, now)


def _taken(files: Sequence[PartitionFile]) -> list[Taken]:
    """Return what partitions have. Rows with ids may be a little out of order in time."""
    taken: list[Taken] = []
    for file in files:
        span, ids = following.span_in(file), following.ids_in(file)
        taken.append(Taken(kind_of(file.partition.series).around(span) if ids else span, ids))
    return taken


def _of_file(file: TailFile, taken: Mapping[Series, Sequence[Taken]]) -> dict[str, list[Taken]]:
    """Return what is taken of a file's rows, by symbol."""
    whole, found = following.span_of(file.key.period), {}
    for series, own in taken.items():
        inside = [one for one in own if one.span.overlaps(whole)] if file.key.fits(series) else []
        if inside:
            found[series.symbol] = inside
    return found


def here(state: State, tree: Tree, now: datetime, *, is_thorough: bool = False) -> list[TailFile]:
    """Return the files of followed rows; what was in one that is gone is asked for again.

    A file whose rows are to be written again is read whole first: the newest of each kind, or all
    if *is_thorough*.
    """
    files = list(state.tails.files().values())
    read = files if is_thorough else _newest(files)
    gone = [
        file
        for file in files
        if not (tails.is_as_written(tree, file) if file in read else tails.is_whole(tree, file))
    ]
    return _without_gone(state, tree, files, gone, now) if gone else files


def set_aside_damaged_of(
    state: State, tree: Tree, keys: Collection[TailKey], now: datetime
) -> None:
    """Set aside the files of these that are not as written, before rows are added to them."""
    files = list(state.tails.files().values())
    read = [file for file in files if file.key in keys]
    if gone := [file for file in read if not tails.is_as_written(tree, file)]:
        _without_gone(state, tree, files, gone, now)


def set_aside_damaged(state: State, tree: Tree, now: datetime) -> bool:
    """Read all files of followed rows and set aside what is not as written; whether any was.

    Generations name it until the next one.
    """
    before = len(state.tails.files())
    return len(here(state, tree, now, is_thorough=True)) < before


def _newest(files: Iterable[TailFile]) -> list[TailFile]:
    """Return the file of the last period of each market, kind and interval."""
    ordered = sorted(files, key=lambda file: file.key.period)
    return list({file.key.of_all_periods: file for file in ordered}.values())


def _without_gone(
    state: State, tree: Tree, files: Sequence[TailFile], gone: Sequence[TailFile], now: datetime
) -> list[TailFile]:
    """Set aside the files that are *gone* or damaged; return the others."""
    keys = {file.key.of_all_periods for file in gone}
    runs = {one: own for one, own in state.tails.runs().items() if _fits_any(one, keys)}
    for file in gone:
        log.warning("tail.lost", path=file.path)
        set_aside(tree, file.path)
        for series in [series for series in runs if file.key.fits(series)]:
            runs[series] = _without(state, series, runs[series], file)
    left = [file for file in files if file not in gone]
    runs |= _counted_again(state, tree, keys, left, runs)
    state.tails.record([], gone, runs, now)
    state.gaps.forget_expected(runs)
    return left


def _fits_any(series: Series, keys: Iterable[TailKey]) -> bool:
    return any(key.fits(series) for key in keys)


def _without(state: State, series: Series, runs: Sequence[Run], gone: TailFile) -> list[Run]:
    """Return what is left of the runs of a series but for counted rows."""
    if is_counted(series):
        return list(runs)
    grid = grid_of(series, state.queries.files.of([series])[series])
    return following.without(grid, runs, following.span_of(gone.key.period))


def _counted_again(
    state: State,
    tree: Tree,
    keys: Iterable[TailKey],
    left: Sequence[TailFile],
    known: Iterable[Series],
) -> dict[Series, list[Run]]:
    """Return the runs of counted rows that the files *left* have: only these tell their ids."""
    found: dict[Series, list[Run]] = {}
    for key in (key for key in keys if KINDS[key.kind].counter):
        own = [file for file in left if file.key.of_all_periods == key]
        counted = tails.counted_runs(state.connection, tree, own)
        found |= {one: counted.get(one.symbol, []) for one in known if key.fits(one)}
    return found
