"""Parameters in the form encoding that Stripe reads: `metadata[key]=`, `expand[0]=`; pure.

Stripe knows an idempotency key by the parameters that came with it, so the same parameters must
stay the same text from one version of ours to the next. Stripe's own client is the judge of it in
the tests.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote_plus

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~\[\]-]*").fullmatch
"""What stands for itself; brackets too, as Stripe's own client has it."""


def encode(parameters: Mapping[str, Any]) -> str:
    """The parameters in their order, times in whole seconds. What is None or empty is left out.

    Raises:
        TypeError: a value is neither text, a whole number, a truth value, a time nor made of them.
        UnicodeEncodeError: a text is not fit to be sent.
    """
    pairs: list[str] = []
    _add(pairs, "", parameters.items())
    return "&".join(pairs)


def _add(pairs: list[str], outer: str, items: Iterable[tuple[Any, Any]]) -> None:
    for key, value in items:
        name = f"{outer}[{key}]" if outer else key
        if isinstance(value, dict):
            _add(pairs, name, value.items())
        elif isinstance(value, list | tuple):
            _add(pairs, name, enumerate(value))
        elif value is not None:
            pairs.append(f"{_quoted(name)}={_text(value)}")


def _text(value: object) -> str:
    """Anything else is refused: its `str` is for people, and may be a secret's."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return str(int(value.replace(microsecond=0).timestamp()))
    raise TypeError(f"stripe's forms have no {type(value).__name__}")


def _quoted(text: str) -> str:
    return text if _PLAIN(text) else quote_plus(text, safe="[]")
