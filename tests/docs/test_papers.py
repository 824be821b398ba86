"""What the papers say that the software does has its proof: a test or a file that is there."""

import re

from tests.docs.blocks import ROOT

PAPER = (ROOT / "docs" / "pci.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAPER[PAPER.index("## Who does what") :].splitlines()
    if line.startswith("| ") and not line.startswith("| requirement")
]
WITHOUT_A_FILE = {"6.3.1 weaknesses are reported"}
"""Proved by a page that is linked in the row itself."""


def test_every_line_says_whose_it_is_and_ours_are_proved() -> None:
    assert len(ROWS) > 20
    for requirement, who, what, proof in ROWS:
        assert who in {"ours", "yours", "provider"}, requirement
        assert what
        if who == "ours" and requirement not in WITHOUT_A_FILE:
            assert re.findall(r"`[^`]+`", proof), requirement


def test_every_proof_is_there() -> None:
    for requirement, _, _, proof in ROWS:
        for named in re.findall(r"`([^`]+)`", proof):
            if named != "make security":
                assert (ROOT / named).exists(), (requirement, named)
