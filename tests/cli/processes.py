"""What tests of the front door need of the system: commands that run, and processes that live."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from paygate.cli import main
from paygate.cli.main import app

PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
SECONDS = 60
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        __name__,
        *("paygate.cli.up", "paygate.cli.serve", "paygate.cli.worker", "paygate.worker.scheduled"),
        *("paygate.wiring.service", "paygate.api.app", "rich.progress", "rich.table"),
    ]
)


class Ran(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str


def clean_environ() -> dict[str, str]:
    """The environment without the settings of whoever runs the tests."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PAYGATE_")}


def run(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> Ran:
    """A `paygate` command, to its end, without the settings of whoever runs the tests.

    A process of its own, forked from one that has imported what commands import: that takes most
    of a command's time. What Python itself makes of its environment is for `run_anew` to show.
    """
    environment = clean_environ() | PLAIN | dict(environ or {})
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _FORKS.Process(target=_become, args=(arguments, cwd, environment, out, err))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
        ran = Ran(process.exitcode or 0, out.read_text(), err.read_text())
        process.close()
    return ran


def _become(
    arguments: tuple[str, ...], cwd: Path, environ: Mapping[str, str], out: Path, err: Path
) -> None:
    """In the forked process, whose standard input is empty: what `python -m paygate.cli` does."""
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["paygate", *arguments]
    main.run()


def run_anew(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> Ran:
    """The same in a new Python, as somebody who types it has it."""
    done = subprocess.run(
        [sys.executable, "-m", "paygate.cli", *arguments],
        cwd=cwd,
        env=clean_environ() | PLAIN | dict(environ or {}),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def call(*arguments: str, environ: Mapping[str, str] | None = None) -> Ran:
    """The same in this process, and so in its working directory, which takes a tenth of the time.

    Every exception is told in a line; whether `paygate` tells it so is for `run` to show.
    """
    mine = {name: None for name in os.environ if name.startswith("PAYGATE_")}
    done = CliRunner().invoke(app, arguments, env=mine | dict(environ or {}))
    error = done.exception
    fault_line = "" if error is None or isinstance(error, SystemExit) else f"paygate: {error}\n"
    return Ran(done.exit_code, done.stdout, done.stderr + fault_line)


def is_one_clear_line(ran: Ran, *words: str) -> None:
    assert ran.status == 1, ran
    assert ran.out == "", ran
    assert ran.err.startswith("paygate: "), ran
    assert ran.err.count("\n") == 1, ran
    assert "hunter2" not in ran.err
    for word in words:
        assert word in ran.err, ran


def children(pid: int) -> dict[int, list[str]]:
    """The `paygate` processes that a process started, and the command that each of them runs."""
    found = {}
    for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        command = Path(f"/proc/{text}/cmdline").read_text().split("\0")
        if "paygate.cli" in command:
            words = command[command.index("paygate.cli") + 1 :]
            found[int(text)] = [word for word in words if word != "--lifeline"]
    return found


def ended(pid: int) -> bool:
    """Whether a process runs no more; one that nobody waited for has ended too."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}
