"""The suite is the same wherever it is run: after `paygate up` in the checkout too."""

import os
import subprocess
import sys
from pathlib import Path

from paygate.settings import load

ROOT = Path(__file__).parents[1]
FOREIGN = 'max_amount = "1"\n'


def test_a_test_and_its_processes_are_told_no_setting() -> None:
    """They inherit this environment and this working directory."""
    assert load(os.environ) == load({"PAYGATE_DATA": "data"})
    assert load(os.environ).max_amount > 1
    assert list(Path.cwd().iterdir()) == []


def test_a_developers_own_settings_are_not_read(tmp_path: Path) -> None:
    """The test above holds where all that could tell a setting does."""
    (tmp_path / "data").mkdir()
    for folder in (tmp_path, tmp_path / "data"):
        (folder / "paygate.toml").write_text(FOREIGN)
    this = f"{__file__}::{test_a_test_and_its_processes_are_told_no_setting.__name__}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"),
            *(f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), this),
        ],
        cwd=tmp_path,
        env=os.environ | {"PAYGATE_MAX_AMOUNT": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
