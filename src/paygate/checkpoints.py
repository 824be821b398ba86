"""Where the audit log's checkpoints are told to: a file that is only added to, or an https address.

What keeps them must not be within reach of who can write the database: docs/audit.md.
"""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

from paygate.egress.client import Egress, Responded

MAX_LINE: Final = 4096
"""A checkpoint has some 450 bytes."""
POST_SECONDS: Final = 15.0
_CONFLICT: Final = 409
_TAKEN: Final = range(200, 300)


Kept = Literal["kept", "contradicted", "failed"]
"""What became of a checkpoint. Contradicted: whoever keeps them says that it does not follow the
last one there."""


class CheckpointFile:
    """A file on this machine, or one that is mounted; each line is on the disk before it counts."""

    def __init__(self, path: Path) -> None:
        self.name: Final = f"file:{path}"
        self._path = path
        self._turn = threading.Lock()

    def check(self) -> None:
        """Raises OSError: the file cannot be added to."""
        os.close(self._open())

    async def last(self) -> bytes | None:
        """The last line, or None where there is none. Raises OSError."""
        return await asyncio.to_thread(self._last)

    def lines(self) -> Iterator[bytes] | None:
        """All lines, the oldest first. Raises OSError."""
        return lines_of(self._path)

    async def put(self, line: bytes) -> Kept:
        """Add a line."""
        try:
            await asyncio.to_thread(self._add, line)
        except OSError:
            return "failed"
        return "kept"

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return _regular(os.open(self._path, flags | os.O_NONBLOCK, 0o600), self._path)

    def _last(self) -> bytes | None:
        try:
            file = _opened(self._path)
        except FileNotFoundError:
            return None
        with file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4 * MAX_LINE))
            # What a crash cut off never counted.
            whole = [line for line in file.read().split(b"\n")[:-1] if line.endswith(b"}")]
        return whole[-1] if whole else None

    def _add(self, line: bytes) -> None:
        with self._turn:
            file = self._open()
            try:
                size = os.lseek(file, 0, os.SEEK_END)
                torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                rest = b"\n" * torn + line
                while rest:  # of a disk that is nearly full it takes a part without an error
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            finally:
                os.close(file)


class CheckpointAddress:
    """An https address: each checkpoint is sent there once, and kept there. 409 says that it does
    not follow the last one there.
    """

    def __init__(self, url: str, egress: Egress) -> None:
        self.name: Final = "https"
        self._url = url
        self._egress = egress

    async def last(self) -> bytes | None:
        """Nothing: it is not asked what it keeps."""
        return None

    def lines(self) -> Iterator[bytes] | None:
        """Nothing, likewise."""
        return None

    async def put(self, line: bytes) -> Kept:
        """Send a line."""
        headers = {"Content-Type": "application/json"}
        answer = await self._egress.post(self._url, line, headers, seconds=POST_SECONDS)
        if isinstance(answer, Responded) and answer.status == _CONFLICT:
            return "contradicted"
        taken = isinstance(answer, Responded) and answer.status in _TAKEN
        return "kept" if taken else "failed"


def lines_of(path: Path) -> Iterator[bytes]:
    """All whole lines that a file of checkpoints has now, and none that are added later; none of
    one that is not there. Raises OSError.
    """
    try:
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return iter(())
    return _lines_up_to(path, size)


def _lines_up_to(path: Path, size: int) -> Iterator[bytes]:
    """A line that is longer than any of ours comes in pieces, of which none is a checkpoint."""
    with _opened(path) as file:
        while line := file.readline(min(size, MAX_LINE)):
            size -= len(line)
            whole = line.endswith(b"\n")
            if line.strip() and (whole or len(line) == MAX_LINE):
                yield line.rstrip(b"\n")


def _opened(path: Path) -> BinaryIO:
    """A file for reading. Raises OSError, for what is no regular file too."""
    return open(_regular(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), path), "rb")


def _regular(descriptor: int, path: Path) -> int:
    """The descriptor of a file, unless it is a pipe that waits for ever or a device without end."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))
