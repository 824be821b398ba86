"""Typed ids: a prefix that says what it names, then 26 characters that sort by time.

The body is 48 bits of milliseconds and 80 random bits (ULID's layout), in lower-case
Crockford base32, so an id sorts as its record was made and B-trees grow at one end.
An id is a name, never a secret: what must not be guessed is made in `crypto`.
"""

import re
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
BODY_LENGTH: Final = 26
RANDOM_BYTES: Final = 10

PREFIXES: Final = {
    "payment_intent": "pi_",
    "attempt": "at_",
    "event": "evt_",
    "provider_event": "pe_",
    "audit_entry": "au_",
    "api_key": "key_",
    "customer": "cus_",
    "refund": "re_",
    "dispute_file": "file_",
    "dispute": "dp_",
    "correction": "co_",
    "alert": "al_",
    "alert_occurrence": "ao_",
    "ledger_transfer": "lt_",
    "webhook_endpoint": "we_",
    "delivery": "dl_",
    "reconciliation": "rc_",
    "reconciliation_finding": "rf_",
    "settlement": "st_",
    "settlement_line": "sl_",
    "settlement_import": "si_",
    "discrepancy": "dc_",
    "account_transfer": "ax_",
    "run": "run_",
    "request": "req_",
}
"""Object name to prefix, as OBJECTS on the wire have them."""

_KINDS: Final = {prefix: kind for kind, prefix in PREFIXES.items()}
_PAIRS: Final = tuple(a + b for a in ALPHABET for b in ALPHABET)
"""Ten bits at a time: an id is made several times a request."""
_SHIFTS: Final = tuple(range(120, -1, -10))
_BODY_BYTES: Final = 16
_SHAPE: Final = re.compile(rf"[{ALPHABET}]{{{BODY_LENGTH}}}")
_MILLISECONDS_LIMIT: Final = 1 << 48


def make_id(prefix: str, milliseconds: int, random: bytes) -> str:
    """The id for something made at `milliseconds` since 1970, with 10 random bytes."""
    if not 0 <= milliseconds < _MILLISECONDS_LIMIT:
        raise ValueError("milliseconds must fit 48 bits")
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes")
    return prefix + _body((milliseconds << 80) | int.from_bytes(random))


def id_from(prefix: str, body: bytes) -> str:
    """The id whose body is these 16 bytes, for what must be named alike whenever it is made."""
    if len(body) != _BODY_BYTES:
        raise ValueError(f"an id is made of {_BODY_BYTES} bytes")
    return prefix + _body(int.from_bytes(body))


def _body(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` could be an id with this prefix (one that cannot is simply unknown)."""
    return text.startswith(prefix) and _SHAPE.fullmatch(text, len(prefix)) is not None


def kind_of(text: str) -> str | None:
    """What kind of object an id names; None for text that is no id."""
    prefix = text[: text.find("_") + 1]
    kind = _KINDS.get(prefix)
    return kind if kind is not None and is_id(prefix, text) else None


def milliseconds_of(text: str) -> int:
    """When an id was made: milliseconds since 1970, read back from its body."""
    number = 0
    for char in text[-BODY_LENGTH:]:
        number = (number << 5) | ALPHABET.index(char)
    return number >> 80
