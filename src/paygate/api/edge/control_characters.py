"""Refuses control characters: no name or text has any use for them, and the database has no place
for some. Line breaks and tabs may stand in texts that people write.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

import msgspec

from paygate.api.edge.exchange import Exchange
from paygate.domain.errors import ErrorCode, Refusal

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_LINES: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LINES: Final = frozenset({"description", "metadata", "note", "reason", "texts"})
"""The parameters that may have several lines, and each value of `metadata` and `texts`."""
_MAY_HOLD: Final = re.compile(rb"\\[ubfnrt]|\x7f|\xc2[\x80-\x9f]")
"""The ways in which JSON writes control characters: raw ones under a space are no JSON."""
_NAME_LENGTH: Final = 100


def refuse_in_envelope(exchange: Exchange) -> None:
    """Raises `parameter_invalid` when a parameter of the path, or anything in the query, has one.

    The query of a call that takes none is searched too: some later version may read it.
    """
    for name, value in exchange.path.items():
        if _CONTROL.search(unquote(value)):
            raise _refusal(name)
    for pair in exchange.query.split("&") if exchange.query else ():
        name, _, value = (unquote_plus(part) for part in pair.partition("="))
        if _CONTROL.search(name):
            raise _refusal(None)
        if _CONTROL.search(value):
            raise _refusal(name[:_NAME_LENGTH])


def refuse_in_body(content: bytes, body: msgspec.Struct) -> None:
    """Raises `parameter_invalid` when a text of `body`, decoded from `content`, has one."""
    if _MAY_HOLD.search(content) is None:
        return
    for path, text in _texts("", msgspec.to_builtins(body)):
        lines = path.partition(".")[0] in _LINES
        if (_CONTROL_IN_LINES if lines else _CONTROL).search(text):
            raise _refusal(path or None)


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text of a body, with the path to it; a name that the caller chose, with its object's.

    A name that has such a character never gets into a path: it comes before what it names.
    """
    match value:
        case str():
            yield path, value
        case list():
            for item in value:
                yield from _texts(path, item)
        case dict():
            yield from (("", name) for name in value)
            for name, item in value.items():
                yield from _texts(f"{path}.{name}" if path else name, item)


def _refusal(param: str | None) -> Refusal:
    return Refusal(
        ErrorCode.PARAMETER_INVALID,
        f"{param or 'a name'} must not have control characters",
        param=param,
    )
