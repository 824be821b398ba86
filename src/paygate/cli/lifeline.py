"""What a child process and its parent tell each other, over the child's standard input: the parent
its own end, for a child must not outlive it; the child that it is ready.
"""

import contextlib
import os
import signal
import threading
from typing import Final

READY: Final = b"r"
_NAME: Final = "lifeline"


def hold() -> None:
    """Stop this process, cleanly, when whoever started it is gone."""
    threading.Thread(target=_watch, name=_NAME, daemon=True).start()


def tell_ready() -> None:
    """Tell the parent, if one holds the lifeline, that this process works now."""
    if any(thread.name == _NAME for thread in threading.enumerate()):
        with contextlib.suppress(OSError):  # who went away need not know
            os.write(0, READY)


def _watch() -> None:
    # Not through sys.stdin: its lock would be held when the interpreter goes down.
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
