"""What a child process and its parent tell each other, over the child's standard input: the parent
its own end, for a child must not outlive it; the child that it is ready.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Final

READY: Final = b"r"


def hold(lifeline: bool) -> Callable[[], None]:
    """With a lifeline: stop this process, cleanly, when whoever started it is gone.

    Returns what is to be called when this process is ready.
    """
    if not lifeline:
        return lambda: None
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()
    return _tell_ready


def _tell_ready() -> None:
    with contextlib.suppress(OSError):  # who went away need not know
        os.write(0, READY)


def _watch() -> None:
    # Not through sys.stdin: its lock would be held when the interpreter goes down.
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
