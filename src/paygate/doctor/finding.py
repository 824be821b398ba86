"""What a check has to say."""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It may hurt, or nobody can tell."""
    WRONG = "wrong"
    """It will hurt."""


class Said(msgspec.Struct, frozen=True):
    """A verdict in one sentence, and the mend, which is empty where there is nothing to mend."""

    verdict: Verdict
    message: str
    mend: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The same, by the name of its check, as it is printed."""

    check: str
    verdict: Verdict
    message: str
    mend: str
    object: str = "finding"


def ok(message: str) -> Said:
    return Said(Verdict.OK, message)


def warning(message: str, mend: str) -> Said:
    return Said(Verdict.WARNING, message, mend)


def wrong(message: str, mend: str) -> Said:
    return Said(Verdict.WRONG, message, mend)
