"""The API versions that a call may ask for. Whichever it is, the answer is that of `API_VERSION`.

It must never decide how an answer looks: there is one shape, and every answer's header names it.
"""

import re
from datetime import date

from paygate_sandbox.protocol.errors import StripeError

API_VERSION = "2026-08-26.dahlia"

# Every release of the two years before, by the name of its series. Earlier ones have no name.
_SERIES = {
    "acacia": "2024-09-30 2024-10-28 2024-11-20 2024-12-18 2025-01-27 2025-02-24",
    "basil": "2025-03-31 2025-04-30 2025-05-28 2025-06-30 2025-07-30 2025-08-27",
    "clover": "2025-09-30 2025-10-29 2025-11-17 2025-12-15 2026-01-28 2026-02-25",
    "dahlia": "2026-03-25 2026-04-22 2026-05-27 2026-06-24 2026-07-29 2026-08-26",
}
VERSIONS = tuple(f"{day}.{name}" for name, days in _SERIES.items() for day in days.split())
# Beside each release stands a preview of what may come.
_TAKEN = frozenset(VERSIONS) | {f"{version.partition('.')[0]}.preview" for version in VERSIONS}
_DAY, _, _NAME = API_VERSION.partition(".")
_SHOWN = 60


def check_version(version: str, today: date, param: str | None = None) -> None:
    """Refuse, in Stripe's words, what is no version of the last two years.

    Releases after `API_VERSION` cannot be known here: any is taken that has a day until today, and
    a name that follows in the alphabet, as Stripe's do.
    """
    if version not in _TAKEN and not _is_later(version, today):
        message = f"Invalid Stripe API version: {version[:_SHOWN]}{_advice(version)}"
        raise StripeError(message, param=param)


def _is_later(version: str, today: date) -> bool:
    found = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([a-z]{1,30})", version)
    if found is None or not _DAY < found[1] <= today.isoformat() or found[2] < _NAME:
        return False
    try:
        date.fromisoformat(found[1])
    except ValueError:
        return False
    return True


def _advice(version: str) -> str:
    _, semicolon, betas = version.partition(";")
    if semicolon:
        beta = betas.partition("=")[0].strip()[:_SHOWN]
        return (
            f". You do not have permission to pass this beta header: {beta}. If you have any "
            "questions, we can help at https://support.stripe.com/."
        )
    return f". This sandbox takes {VERSIONS[0]} and later, and answers as {API_VERSION}."
