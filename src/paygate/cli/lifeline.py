"""A child process that must not outlive its parent watches its standard input for the end."""

import os
import signal
import threading


def hold() -> None:
    """Stop this process, cleanly, when whoever started it is gone."""
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    # Not through sys.stdin: its lock would be held when the interpreter goes down.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
