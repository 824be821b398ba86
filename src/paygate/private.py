"""Files and folders for their owner's eyes alone: keys are in them.

Knows nothing of settings, of keys, or of what a file means.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

OTHERS: Final = 0o077
"""Every permission of the group and of strangers."""
OTHERS_WRITE: Final = 0o022


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, mode 0600. A link at `path` is replaced, not followed.

    Raises OSError.
    """
    with drafted(path, text.encode()) as draft:
        draft.replace(path)


@contextmanager
def drafted(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path`, mode 0600, with its content on the disk: to be given its name in the
    block, and gone after it otherwise.

    Raises OSError.
    """
    with _draft(path) as (draft, file):
        file.write(content)
        _to_disk(file)
        yield draft


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, mode 0600, that is at `path` once the block has ended, and not at all
    when the block fails. A link at `path` is replaced, not followed.

    Raises OSError.
    """
    with _draft(path) as (draft, file):
        yield file
        _to_disk(file)
        draft.replace(path)


@contextmanager
def _draft(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # A name that nobody can guess: a stranger's file or link never lies there already.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
            yield draft, file
    finally:
        draft.unlink(missing_ok=True)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def remove_planted(path: Path) -> None:
    """Remove what an earlier run or a stranger left at `path`: a file, or a link as such.

    Raises PermissionError: it is no file, it cannot be removed, or strangers could put another
    one in the place of ours.
    """
    folder = path.parent.stat()
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        raise PermissionError(f"everybody can exchange files in {path.parent}: name another place")
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            raise PermissionError(f"{path} exists and is not a file: name another place")
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno is None:
            raise
        raise PermissionError(f"cannot remove {path}: {error.strerror}") from None


def close_folder(folder: Path, ours: str) -> bool:
    """Make `folder`, or close it to all but its owner; returns whether it stood open.

    A folder with contents is closed only when the file `ours` shows whose it is: with another
    purpose it may be shared.

    Raises PermissionError: it is another user's, strangers could have put files in it, or its
    purpose is not known.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        raise PermissionError(
            f"data directory {folder} belongs to another user (uid {status.st_uid}): "
            "start as that user, or name another"
        )
    if not mode & OTHERS:
        return False
    if any(folder.iterdir()):
        remedy = f"close it (chmod 700 {folder}), or name another"
        if mode & OTHERS_WRITE:
            raise PermissionError(
                f"other users can write in data directory {folder} (mode {mode:o}): "
                f"see that all in it is yours and {remedy}"
            )
        if not (folder / ours).exists():
            raise PermissionError(
                f"folder {folder} is open to other users (mode {mode:o}) and no data directory "
                f"of paygate: {remedy}"
            )
    folder.chmod(0o700)
    return True


def close_file(path: Path) -> None:
    """Close a file to all but its owner, if it is there.

    Raises PermissionError: it is a link, or another user's.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise PermissionError(f"cannot take {path}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
            raise PermissionError(f"{path} is not a file of this user's: move it away")
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
