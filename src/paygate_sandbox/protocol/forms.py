"""Form bodies and query strings: `a[b][0]=c` to nested values.

It must never know what a parameter means; every leaf stays the text that was sent.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus

from paygate_sandbox.protocol.errors import StripeError

Form = dict[str, Any]

# Far above what a call needs, far below what would keep the one event loop busy.
MAX_PAIRS = 1000
MAX_DEPTH = 8

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEYS = re.compile(r"\[([^\[\]]*)\]")


def parse_form(text: str) -> Form:
    return nest(_pairs(text))


def nest(pairs: Iterable[tuple[str, Any]]) -> Form:
    """Values under the names that were sent, brackets and all."""
    form: Form = {}
    for name, value in pairs:
        if "[" in name or "]" in name:
            _place(form, name, value)
        elif isinstance(form.get(name), dict):
            raise _contradiction(name)
        else:
            form[name] = value
    return {name: _arrays(value) for name, value in form.items()}


def _pairs(text: str) -> list[tuple[str, str]]:
    pieces = text.split("&", MAX_PAIRS) if text else []
    if len(pieces) > MAX_PAIRS:
        raise _malformed()
    pairs: list[tuple[str, str]] = []
    for piece in pieces:
        name, equals, value = piece.partition("=")
        if not equals:
            raise _malformed()
        pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise _malformed() from None


def _malformed() -> StripeError:
    return StripeError(
        "Invalid request (check that your POST content type is "
        "application/x-www-form-urlencoded). If you have any questions, we can help at "
        "https://support.stripe.com/."
    )


def _place(form: Form, name: str, value: Any) -> None:
    match = _NAME.fullmatch(name)
    keys = _KEYS.findall(match[2]) if match else []
    if not match or len(keys) > MAX_DEPTH:
        raise StripeError(f"Invalid parameter name: {name[:100]}")
    node, key = form, match[1]
    for deeper in keys:
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise _contradiction(name)
        node, key = child, deeper or str(len(child))  # "[]" appends
    if isinstance(node.get(key), dict):
        raise _contradiction(name)
    node[key] = value


def _arrays(value: Any) -> Any:
    """A hash whose keys are all numbers was an array on the caller's side."""
    if not isinstance(value, dict):
        return value
    if value and all(key.isdecimal() for key in value):
        return [_arrays(value[key]) for key in sorted(value, key=int)]
    return {key: _arrays(child) for key, child in value.items()}


def _contradiction(name: str) -> StripeError:
    return StripeError(f"Parameter given both as a value and as a hash: {name[:100]}")
