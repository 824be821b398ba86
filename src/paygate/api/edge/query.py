"""The query string to a typed value, as strictly as a body: nothing is guessed, nothing ignored."""

import re
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from paygate.api.edge.body_faults import refused_body, unknown_parameter
from paygate.domain.errors import ErrorCode, Refusal

_PARAMETERS: Final = 20
"""The most parameters of a query string: more than any call takes."""
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""An integer as JSON writes it; longer ones fit no column."""


def parse_query(kind: type[msgspec.Struct], text: str) -> Any:
    """The parameters of a query string, as a `kind`.

    Raises:
        Refusal: one is unknown, repeated, malformed or out of range.
    """
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    values: dict[str, str | int] = {}
    for name, value in _pairs(text):
        if name not in known:
            raise unknown_parameter(name[:100], name, known)
        if name in values:
            raise Refusal(ErrorCode.PARAMETER_INVALID, f"{name} is given twice", param=name)
        integer = name in _integers(kind) and _INTEGER.fullmatch(value)
        values[name] = int(value) if integer else value
    try:
        # A text that is no integer by the rule above stays text, which strict conversion refuses.
        return msgspec.convert(values, kind, strict=True)
    except msgspec.ValidationError as error:
        raise refused_body(error, kind) from None


def _pairs(text: str) -> list[tuple[str, str]]:
    if not text:
        return []
    malformed = Refusal(ErrorCode.PARAMETER_INVALID, "the query string is not well-formed")
    if not text.isascii() or _BAD_ESCAPE.search(text):
        raise malformed
    try:
        return parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_PARAMETERS,
        )
    except ValueError:  # its words would quote what came
        raise malformed from None


@cache
def _integers(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The parameters that are integers."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return frozenset(f.encode_name for f in info.fields if _holds_integer(f.type))


def _holds_integer(info: inspect.Type) -> bool:
    if isinstance(info, inspect.UnionType):
        return any(_holds_integer(option) for option in info.types)
    if isinstance(info, inspect.Metadata):
        return _holds_integer(info.type)
    return isinstance(info, inspect.IntType)
