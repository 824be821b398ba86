"""Forms of parts, one of them a file: `multipart/form-data` to nested values.

It must never know what a file is for, nor read more of one than a call may bring.
"""

from typing import Any, Final

from aiohttp import BodyPartReader, web

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.forms import Form, nest

_TYPE: Final = "multipart/form-data"
_MOST_BYTES: Final = 16 * 1024 * 1024
"""Of all parts: far above what a file may have, so that a large one is refused in its own words."""
_MOST_PARTS: Final = 20


async def read_parts(request: web.BaseRequest) -> Form:
    """The texts, and each file as its name and its content."""
    if request.content_type != _TYPE:
        raise StripeError(f"Invalid request (check that your POST content type is {_TYPE}).")
    pairs: list[tuple[str, Any]] = []
    left = _MOST_BYTES
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.name or len(pairs) == _MOST_PARTS:
                raise _malformed()
            content = await _content(part, left)
            left -= len(content)
            if part.filename is None:
                pairs.append((part.name, content.decode()))
            else:
                pairs.append((part.name, {"filename": part.filename, "content": content}))
    except ValueError:  # no boundary, a part without an end, a text that is not UTF-8
        raise _malformed() from None
    return nest(pairs)


async def _content(part: BodyPartReader, most: int) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk():
        content += chunk
        if len(content) > most:
            raise StripeError("Invalid request: the body is too large.", status=413)
    return bytes(content)


def _malformed() -> StripeError:
    return StripeError("Invalid request: the form's parts could not be read.")
