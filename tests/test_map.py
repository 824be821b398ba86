"""ARCHITECTURE.md and docs/ lead to what there is: every file and folder that they name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASES = (ROOT, ROOT / "src" / "paygate", ROOT / "src")
DOCUMENTS = [ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
FLOORS = [path.name for path in (ROOT / "src" / "paygate").iterdir() if path.is_dir()]
NAMED = re.compile(rf"`((?:src/|tests/|tools/|(?:{'|'.join(FLOORS)})/)[\w./*-]*)`")


def named(document: Path) -> Iterator[str]:
    """The paths that a document has in backticks."""
    yield from (match[1] for match in NAMED.finditer(document.read_text(encoding="utf-8")))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_is_named_exists(document: Path) -> None:
    missing = [p for p in named(document) if not any(any(base.glob(p)) for base in BASES)]
    assert missing == []


def test_paths_are_found_in_the_map() -> None:
    """Or the test above would hold of no document at all."""
    assert {"flows/payments/confirm.py", "storage/queries/"} <= set(named(DOCUMENTS[0]))
