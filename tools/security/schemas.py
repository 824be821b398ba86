"""Schemathesis against a running gateway, as two callers."""

import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

_NOT_HELD: Final = "positive_data_acceptance,missing_required_header"
"""A schema cannot say all: that two cursors exclude each other, that a text holds no card's number,
that a reference is in use. So a request that fits its schema may be refused. And who asks without a
key for the thousandth time is told of the limit, and no more of the key.
"""


class Caller(NamedTuple):
    """Who asks: a name for the report, and an API key."""

    name: str
    key: str


def attack(
    api_url: str,
    ca_file: str,
    caller: Caller,
    folder: Path,
    *,
    seconds: int | None = None,
    seed: int = 1,
) -> tuple[int, str]:
    """Its exit status, 0 for nothing found, and what it printed. `seconds`: of fuzzing
    alone; None: all phases, each to its end.
    """
    arguments = [
        *(sys.executable, "-P", "-m", "schemathesis.cli", "--config-file", str(_config(folder))),
        *("run", f"{api_url}/openapi.json", "--url", api_url, "--tls-verify", ca_file),
        *("-H", f"Authorization: Bearer {caller.key}", "-H", f"Paygate-Actor: {caller.name}"),
        *("--exclude-checks", _NOT_HELD, "--seed", str(seed), "--no-color", "--no-shrink"),
        *("--request-timeout", "30", "--continue-on-failure"),
    ]
    if seconds is None:
        arguments += ["--phases", "examples,coverage,fuzzing,stateful"]
    else:
        arguments += ["--phases", "fuzzing", "--max-time", str(seconds)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, check=False)  # noqa: S603
    return done.returncode, done.stdout + done.stderr


def _config(folder: Path) -> Path:
    """An empty configuration, so that none is looked for in the folders above."""
    path = folder / "schemathesis.toml"
    path.touch()
    return path
