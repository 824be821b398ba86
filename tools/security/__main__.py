"""`make security`: what tools of others say of the code, its parts, and a running gateway."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tools.security.schemas import Caller, attack

ROOT: Final = Path(__file__).parents[2]
PATIENCE_SECONDS: Final = 120.0
BIN: Final = Path(sys.executable).parent
OWN_AUTHORITY: Final = "certificate path validation"
"""The one thing that sslyze may find: the development certificate is by an authority of our own."""


def main() -> int:
    """Exit status 1 when any tool found something."""
    bad = [name for name, look in (("bandit", _bandit), ("sbom", _sbom)) if not look()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "up.log").open("wb") as log:
            gateway = subprocess.Popen(  # noqa: S603
                [
                    *(str(BIN / "paygate"), "up", "--data", str(folder / "data")),
                    *("--port", "0", "--sandbox-port", "0"),
                    *("--ready-file", str(folder / "ready.json")),
                ],
                stdout=log,
                stderr=log,
            )
        try:
            ready = _ready(folder / "ready.json", gateway)
            bad += [name for name, look in _OF_A_GATEWAY.items() if not look(ready, folder)]
        finally:
            gateway.terminate()
            gateway.wait(timeout=60)
    _say("nothing found" if not bad else f"found something: {', '.join(bad)}")
    return int(bool(bad))


def _bandit() -> bool:
    return _ran("bandit", str(BIN / "bandit"), "-q", "-ll", "-ii", "-r", str(ROOT / "src"))


def _sbom() -> bool:
    """The bill of materials of what is installed for production, from the lock file."""
    target = ROOT / "dist" / "sbom.cdx.json"
    target.parent.mkdir(exist_ok=True)
    return _ran(
        f"bill of materials: {target.relative_to(ROOT)}",
        *(str(BIN / "cyclonedx-py"), "requirements", "--output-reproducible", "--of", "JSON"),
        *("--pyproject", str(ROOT / "pyproject.toml"), "-o", str(target)),
        str(ROOT / "requirements.lock"),
    )


def _schemas(ready: dict[str, Any], folder: Path) -> bool:
    """All phases, as the account's administrator and as a browser with the publishable key."""
    fine = True
    for name, key in (("admin", "secret_key"), ("browser", "publishable_key")):
        _say(f"schemathesis as {name}: some minutes")
        status, said = attack(ready["api_url"], ready["ca_file"], Caller(name, ready[key]), folder)
        fine = fine and status == 0
        if status:
            _say(said)
    return fine


def _sslyze(ready: dict[str, Any], folder: Path) -> bool:
    """By Mozilla's intermediate profile. It lives in an environment of its own."""
    home = ROOT / ".venv" / "sslyze"
    if not (home / "bin" / "sslyze").exists():
        _say("installing sslyze ...")
        lock = str(ROOT / "tools" / "security" / "requirements.lock")
        pip = (str(home / "bin" / "pip"), "-q", "--disable-pip-version-check")
        for command in (
            (sys.executable, "-m", "venv", str(home)),
            (*pip, "install", "--require-hashes", "-r", lock),
        ):
            subprocess.run(command, check=True)  # noqa: S603
    host = ready["api_url"].removeprefix("https://")
    found = folder / "tls.json"
    done = subprocess.run(  # noqa: S603
        [
            *(str(home / "bin" / "sslyze"), "--mozilla_config=intermediate"),
            *("--json_out", str(found), host),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout[done.stdout.find("COMPLIANCE AGAINST") :].splitlines()
    findings = [line for line in said if line.strip().startswith("*")]
    unexpected = [line for line in findings if OWN_AUTHORITY not in line.lower()]
    fine = found.exists() and not unexpected and "error" not in done.stderr.lower()
    _say(f"sslyze: {'the private authority alone' if fine else done.stdout + done.stderr}")
    return fine


_OF_A_GATEWAY: Final = {"sslyze": _sslyze, "schemathesis": _schemas}


def _ready(path: Path, gateway: subprocess.Popen[bytes]) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if gateway.poll() is not None or time.monotonic() > end:
            raise SystemExit("paygate up did not start")
        time.sleep(0.1)
    return dict(json.loads(path.read_text()))


def _ran(what: str, *command: str) -> bool:
    """Whether it ended well; what it says goes to the terminal."""
    status = subprocess.run(command, check=False, env=os.environ).returncode  # noqa: S603
    _say(f"{what}: {'ok' if status == 0 else 'see above'}")
    return status == 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
