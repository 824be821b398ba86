"""The glossary of ARCHITECTURE.md: its code words are in the source, closed unions are in it."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from paygate.domain.payments.outcome import Outcome
from paygate.storage.change import Verdict

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
GLOSSARY = MAP.partition("\n## Glossary\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (.+?) \| (.+) \|$", GLOSSARY, re.MULTILINE)[1:]
CODE = re.compile(r"`(\w+)`")


def defined() -> Iterator[str]:
    """Every class, function and assigned name of the source."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def code_words() -> set[str]:
    return set(CODE.findall(GLOSSARY))


def test_every_code_word_is_in_the_source() -> None:
    assert code_words() - set(defined()) == set()


def test_no_word_stands_twice() -> None:
    words = Counter(word for words, _ in ROWS for word in words.split(", "))
    assert [word for word, count in words.items() if count > 1] == []


@pytest.mark.parametrize("union", [Outcome, Verdict], ids=["outcomes", "verdicts of a commit"])
def test_every_member_of_a_closed_union_is_explained(union: object) -> None:
    members = {member.__name__ for member in get_args(union)}
    assert members - code_words() == set()


def test_the_glossary_is_read() -> None:
    """Or the tests above would hold of no word at all."""
    assert len(ROWS) > 30
    assert {"PaymentIntent", "conclude_attempt", "CLAIM", "list_created"} <= code_words()
