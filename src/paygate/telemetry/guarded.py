"""Standard error without card data, whoever writes to it: a command's refusal that repeats what was
typed, a traceback of the interpreter's, a library's warning.
"""

import sys
from typing import Any, Final, TextIO

from paygate.domain.card_data.mask import cleared

_FEWEST: Final = 12
"""Characters of a write that are worth a look: the shortest number has 13 digits."""


class Guarded:
    """A text stream whose every write is searched; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, its card numbers masked; returns the length of what was given."""
        shown = text if len(text) < _FEWEST else "".join(map(_line, text.splitlines(keepends=True)))
        self._stream.write(shown)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_standard_error() -> None:
    """From here on, what this process writes to standard error has no card data."""
    if not isinstance(sys.stderr, Guarded):
        sys.stderr = Guarded(sys.stderr)  # it has all that is used


def _line(line: str) -> str:
    words = line.rstrip("\r\n")
    shown = cleared(words)
    return line if shown is words else shown + line[len(words) :]
