"""Request bodies: read within bounds, and from bytes to the value that a call takes."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Meta

from paygate.api.edge.body_faults import refused_body
from paygate.api.edge.control_characters import refuse_in_body
from paygate.api.edge.endpoint import BODY_LIMIT, JSON, FormShape, Upload
from paygate.api.edge.exchange import Exchange
from paygate.api.edge.forms import Form, FormReader
from paygate.api.edge.repeated_names import refuse_repeated_names
from paygate.domain.errors import ErrorCode, Refusal

MOST: Final = 32 * 1024 * 1024
"""The most bytes of all bodies in one process: thousands of ordinary bodies, little memory."""
MOST_OF_LARGE: Final = MOST * 3 // 4
"""The most bytes of bodies beyond BODY_LIMIT, which leave a quarter to the others: a few large
bodies without an end keep out no ordinary event and no payment.
"""
RETRY_AFTER_SECONDS: Final = 1


class Bodies:
    """The bodies that one process has in hand, from their first byte to the end of the request."""

    def __init__(self) -> None:
        self.held = 0
        """The bytes of all bodies in hand."""

    async def read(
        self, exchange: Exchange, receive: Callable[[], Awaitable[Any]], limit: int
    ) -> bytes:
        """The whole body of a request.

        Raises:
            Refusal: `body_too_large` as soon as it is; `overloaded` when all bodies together are.
        """
        chunks: list[bytes] = []
        more = True
        while more:
            chunk, more = await self._next(exchange, receive, limit)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def read_form(
        self,
        exchange: Exchange,
        receive: Callable[[], Awaitable[Any]],
        shape: FormShape,
        boundary: str,
        upload: Upload | None = None,
    ) -> Form:
        """The multipart body of a request, refused at its first fault; a streamed part goes to
        `upload` as it comes, and is not held.

        Raises:
            Refusal: as `read`, and what is wrong with the form.
        """
        refuse_encoded(exchange)
        reader = FormReader(shape, boundary)
        if upload is None:
            more = True
            while more:
                chunk, more = await self._next(exchange, receive, shape.limit)
                reader.feed(chunk)
            return reader.end()
        try:
            await self._hand_on(exchange, receive, shape, reader, upload)
            form = reader.end()
            await upload.end(_contents(reader))
        except BaseException:
            await upload.abandon()
            raise
        return Form(form.parts, upload)

    async def _hand_on(
        self,
        exchange: Exchange,
        receive: Callable[[], Awaitable[Any]],
        shape: FormShape,
        reader: FormReader,
        upload: Upload,
    ) -> None:
        passed, more = 0, True
        while more:
            chunk, more = await self._next(exchange, receive, shape.limit - passed)
            reader.feed(chunk)
            pieces = reader.streamed()
            if pieces:
                await upload.take(_contents(reader), pieces)
                size = sum(map(len, pieces))
                passed += size
                exchange.held -= size
                self.held -= size

    def release(self, exchange: Exchange) -> None:
        """Let go of a request's body."""
        self.held -= exchange.held
        exchange.held = 0

    async def _next(
        self, exchange: Exchange, receive: Callable[[], Awaitable[Any]], limit: int
    ) -> tuple[bytes, bool]:
        """The next bytes of a body, and whether more will come."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(ErrorCode.PARAMETER_INVALID, "the request ended before its body did")
        chunk: bytes = message.get("body", b"")
        self._hold(exchange, len(chunk))
        if exchange.held > limit:
            raise Refusal(ErrorCode.BODY_TOO_LARGE, f"the body must not exceed {limit} bytes")
        return chunk, message.get("more_body", False)

    def _hold(self, exchange: Exchange, size: int) -> None:
        exchange.held += size
        self.held += size
        if self.held > (MOST if exchange.held <= BODY_LIMIT else MOST_OF_LARGE):
            raise Refusal(
                ErrorCode.OVERLOADED,
                "too many bodies at once; nothing was done",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )


def _contents(reader: FormReader) -> dict[str, bytes]:
    return {name: part.content for name, part in reader.done.items()}


def about(description: str, example: Any) -> Meta:
    """The description and the example of a field, for the documents."""
    return Meta(description=description, examples=[example])


@cache
def requires(shape: type[msgspec.Struct]) -> bool:
    """Whether a body has fields that must be there."""
    return any(field.required for field in msgspec.structs.fields(shape))


def parse(shape: type[msgspec.Struct], exchange: Exchange, content: bytes) -> Any:
    """The body as a `shape`, strictly: a string or a float is no integer, an unknown field is
    refused, and so are a control character and a name that comes twice.

    Raises:
        Refusal: what is wrong with it.
    """
    if not content and not requires(shape):
        content = b"{}"
    else:
        _check_content_type(exchange)
    try:
        body = _decoder(shape)(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refused_body(error, shape, content) from None
    refuse_in_body(content, body)
    refuse_repeated_names(content)
    return body


@cache
def _decoder(shape: type[msgspec.Struct]) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(shape).decode


def refuse_encoded(exchange: Exchange) -> None:
    """Raises `content_type_unsupported` for a body with a Content-Encoding."""
    if exchange.headers.get("content-encoding"):
        # A proxy before us may have decoded the body, and seen another one.
        raise Refusal(ErrorCode.CONTENT_TYPE_UNSUPPORTED, "send the body without Content-Encoding")


def _check_content_type(exchange: Exchange) -> None:
    refuse_encoded(exchange)
    content_type = exchange.headers.get("content-type", "")
    if content_type == JSON:
        return
    kind, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower()
    if kind.strip().lower() != JSON or charset not in {"", "charset=utf-8", 'charset="utf-8"'}:
        raise Refusal(
            ErrorCode.CONTENT_TYPE_UNSUPPORTED, "send the body as application/json in UTF-8"
        )
