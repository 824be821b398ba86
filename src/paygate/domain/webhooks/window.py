"""How many requests an endpoint is sent at once: one to begin with, more while it takes them.

A receiver that was away, and we that were stopped, begin in the same way: one request, then two,
then four. A receiver that says no is sent half as many; one that says nothing else, one after a
pause.
"""

from typing import Final

import msgspec

MOST: Final = 64
"""A receiver that takes each in 60 ms gets a thousand a second."""


class Window(msgspec.Struct, frozen=True):
    """`size` requests at once. It doubles up to `calm`, and grows by one beyond."""

    size: int = 1
    calm: int = MOST
    taken: int = 0
    """Since it last grew."""
    failures: int = 0
    """Rounds that failed, and nothing was taken in between."""
    round: int = 0
    """What was sent in one round fails in one: its failures count once."""


def after_success(window: Window) -> Window:
    """The window when a request was taken."""
    taken, size = window.taken + 1, window.size
    if taken >= size:
        size, taken = min(2 * size, window.calm) if size < window.calm else size + 1, 0
    return msgspec.structs.replace(window, size=min(size, MOST), taken=taken, failures=0)


def after_failure(window: Window, sent_in: int) -> Window:
    """The window when a request that was sent in round `sent_in` was not taken. At a size of one
    there is to be a pause, the longer the more `failures`.
    """
    if sent_in != window.round:
        return window
    size = 1 if window.failures else max(1, window.size // 2)
    return Window(size=size, calm=size, failures=window.failures + 1, round=window.round + 1)
