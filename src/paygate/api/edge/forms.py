"""Multipart bodies: files, each under a name that the call knows, taken in as they come.

A file's own name is kept as text and is never a path; the type that is declared for it is a claim.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from paygate.api.edge import card_data
from paygate.api.edge.body_faults import unknown_parameter
from paygate.api.edge.endpoint import BODY_LIMIT, MULTIPART, FormShape
from paygate.api.edge.exchange import Exchange
from paygate.domain.errors import ErrorCode, Refusal

_HEADER_BYTES: Final = 1024
"""Of one line of a part's head: a file's name has at most 255 characters on most disks."""
_HEADERS: Final = 8
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
"""RFC 2046, 5.1.1."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_AS_THEY_ARE: Final = frozenset({"7bit", "8bit", "binary"})
"""Content-Transfer-Encodings that encode nothing."""
_NAME_LENGTH: Final = 100


class FilePart(msgspec.Struct, frozen=True):
    """A file as it was sent: under which name of the call, and what its sender says of it."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None
    """As declared, in lower case and without parameters."""
    streamed: str | None = None
    """The SHA-256, in hex, of content that was handed on as it came, and is not here."""


class _Described(msgspec.Struct, frozen=True):
    """A part as a parameter of the request: two are the same when these are."""

    filename: str | None
    content_type: str | None
    sha256: str


class Form(msgspec.Struct, frozen=True):
    """A multipart body; no two parts have the same name."""

    parts: tuple[FilePart, ...]
    upload: Any = None
    """What took the part that was handed on as it came."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parts by what makes two requests the same: the content by its hash."""
        return {
            part.name: msgspec.to_builtins(
                _Described(
                    part.filename,
                    part.content_type,
                    part.streamed or hashlib.sha256(part.content).hexdigest(),
                )
            )
            for part in self.parts
        }

    def texts(self) -> Iterator[tuple[str, str]]:
        """The file names, each with the name of its part."""
        for part in self.parts:
            if part.filename is not None:
                yield part.name, part.filename


class FormReader:
    """Takes a multipart body in piece by piece, and refuses it at the first fault.

    The parser's strict mode would judge by how the bytes happen to be cut: it refuses the line
    break behind the last boundary where that comes by itself.
    """

    def __init__(self, shape: FormShape, boundary: str) -> None:
        self._shape = shape
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=_HEADER_BYTES,
            max_header_count=_HEADERS,
            max_segment_size=shape.part_limit,
            max_segment_count=len(shape.parts),
        )
        self._done: dict[str, FilePart] = {}
        self._segment: MultipartSegment | None = None
        self._content: list[bytes] = []
        self._size = 0
        self._streamed: list[bytes] = []
        self._digest = hashlib.sha256()

    @property
    def done(self) -> Mapping[str, FilePart]:
        """The parts that are complete."""
        return self._done

    def streamed(self) -> Sequence[bytes]:
        """What has come of the streamed part since this was last asked."""
        pieces, self._streamed = self._streamed, []
        return pieces

    def feed(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            Refusal: `malformed_multipart`, `body_too_large`, or what a part is refused for.
        """
        if not piece:
            return
        try:
            for event in self._parser.parse(piece):
                self._take(event)
        except MultipartError as error:
            raise self._refusal(error) from None

    def end(self) -> Form:
        """The whole form.

        Raises:
            Refusal: it is not complete, or there is no part in it.
        """
        try:
            self._parser.close()
        except MultipartError as error:
            raise self._refusal(error) from None
        if not self._done:
            raise Refusal(ErrorCode.PARAMETER_MISSING, "the body has no part")
        return Form(tuple(self._done.values()))

    def _take(self, event: Any) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is not None:
            self._add(bytes(event))
        else:
            self._complete()

    def _add(self, piece: bytes) -> None:
        assert self._segment is not None, "content belongs to a part"
        if self._segment.name == self._shape.streamed:
            self._streamed.append(piece)
            self._digest.update(piece)
            return
        self._content.append(piece)
        self._size += len(piece)
        most = self._shape.part_limit if self._shape.streamed is None else BODY_LIMIT
        if self._size > most:
            name = self._segment.name
            raise Refusal(ErrorCode.BODY_TOO_LARGE, f"{name} has over {most} bytes", param=name)

    def _begin(self, segment: MultipartSegment) -> None:
        name: str = segment.name
        self._look_at_head(segment)
        if name not in self._shape.parts:
            raise unknown_parameter(_shown(name), name, self._shape.parts)
        if name in self._done:
            raise Refusal(
                ErrorCode.PARAMETER_INVALID,
                f"{name} is sent twice, and takes one file: put several into one PDF",
                param=name,
            )
        if (segment.content_type or "").startswith("multipart/"):
            raise _malformed(f"{name} is a multipart body itself", name)
        encoding = str(segment.header("Content-Transfer-Encoding", "binary"))
        if encoding.strip().lower() not in _AS_THEY_ARE:
            raise _malformed(f"{name} has a Content-Transfer-Encoding: send its bytes", name)
        if _CONTROL.search(segment.filename or ""):
            raise Refusal(
                ErrorCode.PARAMETER_INVALID,
                f"the file name of {name} must not have control characters",
                param=name,
            )
        self._segment, self._content, self._size = segment, [], 0

    def _look_at_head(self, segment: MultipartSegment) -> None:
        """Raises `card_data_refused` for a part's name, or what else stands above its content."""
        card_data.refuse(card_data.in_names([segment.name]))
        name = segment.name if segment.name in self._shape.parts else ""
        card_data.refuse(card_data.in_texts((name, value) for _, value in segment.headerlist))

    def _complete(self) -> None:
        segment = self._segment
        assert segment is not None, "a part ends after it began"
        if self._shape.streamed not in (None, segment.name):
            # Beside a file that is handed on stand texts; files among files are looked at whole.
            content = b"".join(self._content)
            if (spotted := card_data.in_body(content, numeric_references=False)) is not None:
                card_data.refuse(spotted._replace(param=segment.name))
        self._done[segment.name] = FilePart(
            segment.name,
            b"".join(self._content),
            segment.filename or None,
            segment.content_type or None,
            self._digest.hexdigest() if segment.name == self._shape.streamed else None,
        )
        self._segment, self._content = None, []

    def _refusal(self, error: MultipartError) -> Refusal:
        """The parser's fault in our words: its own may quote what it found."""
        name = None if self._segment is None else self._segment.name
        if isinstance(error, ParserLimitReached):
            shape = self._shape
            return Refusal(
                ErrorCode.BODY_TOO_LARGE,
                f"a form has at most {len(shape.parts)} parts of {shape.part_limit} bytes each, and"
                f" each part {_HEADERS} headers of {_HEADER_BYTES} bytes",
                param=name,
            )
        return _malformed("the body is no multipart/form-data, or ends too early", name)


def boundary_of(exchange: Exchange) -> str | None:
    """The boundary of a multipart body; None when the body is of another type.

    Raises:
        Refusal: there is no boundary, or a charset other than UTF-8.
    """
    kind, options = parse_options_header(exchange.headers.get("content-type", ""))
    if kind != MULTIPART:
        return None
    if options.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise Refusal(ErrorCode.CONTENT_TYPE_UNSUPPORTED, "send the form in UTF-8")
    boundary = str(options.get("boundary", ""))
    if _BOUNDARY.fullmatch(boundary) is None:
        raise _malformed("Content-Type must name the boundary between the parts", None)
    return boundary


def _shown(name: str) -> str:
    return _CONTROL.sub("?", name[:_NAME_LENGTH])


def _malformed(message: str, name: str | None) -> Refusal:
    return Refusal(ErrorCode.MALFORMED_MULTIPART, message, param=name)
