"""Another revision of this code, in a git worktree of its own, ready to run."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tools.bench import BenchError
from tools.bench.processes import environment

LOCK: Final = "requirements.lock"


class Built(NamedTuple):
    """A revision that can be run: its commit, and the interpreter that has its code."""

    commit: str
    python: str


@contextmanager
def built(
    revision: str, checkout: Path, folder: Path, progress: Callable[[str], None]
) -> Iterator[Built]:
    """A checkout's revision in a new worktree at `folder`, which is removed at the end.

    Raises:
        BenchError: there is no such revision or no git checkout, or it cannot be installed.
    """
    git = _program("git")
    commit = _run(
        [git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"],
        checkout,
        f"{revision} is no revision of {checkout}",
    )
    _run([git, "worktree", "add", "--detach", str(folder), commit], checkout, "no worktree")
    try:
        python = str(folder / ".venv" / "bin" / "python")
        if (folder / LOCK).read_bytes() == (checkout / LOCK).read_bytes():
            _share_packages(folder)
        else:
            progress(f"{revision} has another {LOCK}: installing its packages")
            make = [_program("make"), "install", f"PYTHON={sys.executable}"]
            _run(make, folder, f"{revision} cannot be installed")
        _assert_code(python, folder)
        yield Built(commit, python)
    finally:
        _run([git, "worktree", "remove", "--force", str(folder)], checkout, "a worktree is left")


def _share_packages(tree: Path) -> None:
    """Make the tree's virtual environment: this interpreter and its packages, the tree's code.

    What a .pth names is on the path of every process, also of one started in a clean environment;
    and .pth files of ours, which lead to this code, are not read from there.
    """
    environment_folder = tree / ".venv"
    venv = [sys.executable, "-P", "-m", "venv", "--without-pip", str(environment_folder)]
    _run(venv, tree, "no virtual environment")
    (packages,) = environment_folder.glob("lib/python*/site-packages")
    ours = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    lines = [str(tree / "src"), *ours]
    (packages / "revision.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _assert_code(python: str, tree: Path) -> None:
    """The interpreter runs the tree's code, or two figures would be of the same."""
    command = [python, "-P", "-c", "import paygate; print(paygate.__file__)"]
    found = Path(_run(command, tree, "the revision cannot be imported"))
    if not found.resolve().is_relative_to(tree.resolve()):
        raise BenchError(f"the other revision would run {found}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BenchError(f"a comparison needs {name}")
    return found


def _run(command: list[str], folder: Path, failure: str) -> str:
    """What a command prints."""
    done = subprocess.run(  # noqa: S603 -- git, make and python
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"{failure} {done.stderr.strip()[-1000:]}".strip())
    return done.stdout.strip()
