"""Gives up on a call that may never return, as Dask's do when nobody answers."""

from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NoReturn, TypeVar

A = TypeVar("A")


def within(limit_s: float, act: Callable[[], A]) -> A:
    """Return what *act* does, or raise what it raises. Raises TimeoutError if it takes longer.

    It goes on then, in a thread that does not keep the program from ending.
    """
    ended: SimpleQueue[Callable[[], A]] = SimpleQueue()

    def run() -> None:
        try:
            value = act()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            ended.put(partial(_raise, error))
        else:
            ended.put(lambda: value)

    Thread(target=run, name="deadline", daemon=True).start()
    try:
        outcome = ended.get(timeout=limit_s)
    except Empty as empty:
        raise TimeoutError(f"no answer within {limit_s:.0f} s") from empty
    return outcome()


def _raise(error: BaseException) -> NoReturn:
    raise error
