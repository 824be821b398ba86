"""SIGHUP to the parent of a gateway's processes, which has two senses.

When the terminal is gone (a window closed, a remote session ended), the gateway ends as any program
that was started there, and as cleanly as at SIGTERM; `nohup` keeps it. From anybody else SIGHUP
says what it says to many servers: read your files again.
"""

import asyncio
import os
import signal
from collections.abc import Callable


def heed_hangups(reload: Callable[[], None]) -> None:
    """From now on, in the running loop: `reload` at a SIGHUP, SIGTERM at the terminal's end."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return  # nohup's wish
    had_terminal = _has_terminal()

    def heard() -> None:
        if had_terminal and not _has_terminal():
            signal.raise_signal(signal.SIGTERM)
        else:
            reload()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, heard)


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal, which it loses with the terminal's end."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
