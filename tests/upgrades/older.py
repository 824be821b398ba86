"""The previous release, from the history of the tree: its code, and processes that run it."""

import io
import os
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import START_SECONDS, Gateway

ROOT = Path(__file__).parents[2]
OLDER_SIDE = Path(__file__).with_name("older_side.txt")
"""One line: the commit of the previous release."""


def older_code(folder: Path) -> Path:
    """An interpreter on the older side's `src`, taken out of the history; skips the test where
    there is none.
    """
    commit = OLDER_SIDE.read_text(encoding="utf-8").strip()
    if not commit:
        pytest.skip(f"{OLDER_SIDE.name} names no commit: there is no release before this one")
    try:
        packed = subprocess.run(
            ["git", "-C", ROOT, "archive", commit, "src"], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if packed.returncode:
        pytest.skip(f"the history does not reach {commit}: a shallow clone, or no clone at all")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    source = folder / "src"
    python = _interpreter(folder / "python", source)
    assert printed_by("import paygate; print(paygate.__file__)", python).startswith(str(source))
    return python


def _interpreter(folder: Path, source: Path) -> Path:
    """One that finds that code, and all that is installed here; its children do too, whatever the
    environment that they are given.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    home = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    installed = sysconfig.get_path("purelib")
    (folder / home / "older.pth").write_text(f"{source}\n{installed}\n", encoding="utf-8")
    return folder / "bin" / "python"


def printed_by(program: str, python: Path) -> str:
    """What a program prints that runs on an interpreter's code."""
    ran = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    return ran.stdout


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Node:
    """A process of one version on the data of a gateway."""

    def __init__(self, first: Gateway, python: Path | None, *command: str, **settings: str) -> None:
        """`python` None: the working tree's."""
        data = first.ready["data_dir"]
        self.log = Path(data) / f"{'-'.join(command[:1])}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [python or sys.executable, "-m", "paygate.cli", *command, "--data", data],
                stdout=output,
                stderr=output,
                env=os.environ | settings,
                cwd=data,
            )

    def stop(self) -> int:
        """As a deployment does: SIGTERM, and time to finish what is in hand."""
        self.process.terminate()
        return self.process.wait(timeout=30)


def serve(
    first: Gateway, python: Path | None, settings: Mapping[str, str], *, port: int = 0
) -> tuple[Node, Gateway]:
    """An API node of one version, and a client of it, which is to be opened when it is ready."""
    port = port or free_port()
    command = ("serve", "--port", str(port), "--processes", "1")
    node = Node(first, python, *command, **settings)
    ready: dict[str, Any] = first.ready | {"api_url": f"https://127.0.0.1:{port}"}
    return node, Gateway(node.process, ready, node.log)


def until_listening(gateway: Gateway) -> None:
    """Until a node takes connections, or has died."""
    port = int(gateway.ready["api_url"].rpartition(":")[2])
    end = time.monotonic() + START_SECONDS
    while True:
        assert gateway.process.poll() is None, gateway.log.read_text()
        assert time.monotonic() < end, gateway.log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
