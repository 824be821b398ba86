"""References and words of a report's lines, fit to be stored: bounded, and no card number."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from paygate.domain.card_data.mask import cleared
from paygate.domain.settlements.reports.layout import BadLine

MOST_CHARACTERS: Final = 255
_PROVIDERS_ID: Final = re.compile(r"(?!(?:card|cc|pan|visa)_)[a-z]{1,5}_[A-Za-z0-9]{1,200}")
"""As providers make ids. The prefix says what it names, so that its digits are no card's."""
NOT_KEPT: Final = "\x00(card data)"
"""Stands for a cell of a line that is refused for it: what is left of card data must not be taken
for a reference. No cell that is read has the character."""
_FEWEST: Final = 12
"""Characters of the shortest card number, whatever it is encoded in."""
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")


def reference(cell: str, column: str) -> str | None:
    """A reference or a word; None where the cell is empty. A report's line is not refused for card
    data: that is `masked`, and goes no further.

    Raises:
        BadLine: it is too long, or has characters that no text has.
    """
    if not cell:
        return None
    if _PROVIDERS_ID.fullmatch(cell):
        return cell
    if len(cell) > MOST_CHARACTERS or _UNPRINTABLE.search(cell):
        raise BadLine(f"{column} is no text of at most {MOST_CHARACTERS} printable characters")
    return masked(cell)


@lru_cache(maxsize=4096)
def masked(cell: str) -> str:
    """The cell as it may be kept, which is the cell itself where no card number and no IBAN is in
    it: they are no reference, and whose account it is nobody need know here.
    """
    if len(cell) < _FEWEST or _PROVIDERS_ID.fullmatch(cell):
        return cell
    return cleared(cell)


@lru_cache(maxsize=1024)
def word(cell: str, column: str) -> str | None:
    """The same, for what most lines have in common."""
    return reference(cell, column)


def required(cell: str, column: str, find_in: Callable[[str, str], str | None] = reference) -> str:
    """A reference that a line is known by.

    Raises:
        BadLine: there is none, or it is card data, under which lines would be taken for each other.
    """
    text = cell if cell == NOT_KEPT else find_in(cell, column)
    if text is None:
        raise BadLine(f"{column} is empty")
    if text != cell or cell == NOT_KEPT:
        raise BadLine(f"{column} holds what looks like a card number or an IBAN")
    return text
