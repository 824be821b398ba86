"""Refuses a body that has a name twice in one object: its last value would be taken here, and a
program on the way may have taken the first.
"""

import json
from typing import Any, Final

import msgspec

from paygate.domain.errors import ErrorCode, Refusal

_NAME_LENGTH: Final = 100


def refuse_repeated_names(content: bytes) -> None:
    """Raises `malformed_json` for it. `content` is JSON in UTF-8.

    Written again from its values, a body loses what was there twice. One that is then as it was
    without blanks has nothing twice: two microseconds of an ordinary body. Others, such as those
    with escapes or decimal points, are looked through.
    """
    try:
        written = msgspec.json.encode(msgspec.json.decode(content))
        if written == msgspec.json.format(content, indent=-1):
            return
        json.loads(content, object_pairs_hook=_object, parse_int=str, parse_float=str)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Refusal(
            ErrorCode.MALFORMED_JSON, "the body must be one JSON object in UTF-8"
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise Refusal(
                ErrorCode.MALFORMED_JSON,
                "the body has a name twice in one object",
                param=name[:_NAME_LENGTH],
            )
        names.add(name)
    return dict(pairs)
