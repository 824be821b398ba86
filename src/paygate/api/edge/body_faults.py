"""Translates msgspec's fault of a body for the caller: which parameter, what the parameter takes,
and for the commonest slips how the same is written here.

No value is quoted, for it may be a secret; except an amount, which shows best how to write it.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import inspect

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.money import EXPONENTS, major_units, parse_currency

AMOUNT: Final = "amount"
_EXAMPLE: Final = 1999
_AMOUNT_MOST: Final = 10**12
"""More than any amount: a longer number is something else, and is not repeated."""

_AT: Final = re.compile(r" - at `\$\.?(?:\[\.\.\.\])?([^`]*)`")
_FIELD: Final = re.compile(r"field `([^`]*)`")
_TYPES: Final = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_INDEX: Final = re.compile(r"\[[^\]]*\]")
_KINDS: Final = {
    "int": "an integer",
    "float": "a number with a decimal point",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_amounts: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
NOT_BLANK: Final = r"[^\s\u00ad\u115f\u1160\u200b-\u200f\u2060\u2800\u3164\ufeff\uffa0]"
"""What a text for people must have one of: a character that can be seen."""


def refused_body(
    error: Exception, shape: type[msgspec.Struct], content: bytes | None = None
) -> Refusal:
    """The refusal of `content` that is no `shape`; it names the parameter."""
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(ErrorCode.MALFORMED_JSON, "the body must be one JSON object in UTF-8")
    text = str(error)
    where = _AT.search(text)
    path = where[1] if where else ""
    field = _FIELD.search(text)
    said = _AT.sub("", text)
    if field and "unknown field" in said:
        return unknown_parameter(
            _joined(path, field[1][:100]), field[1], known_parameters(shape, path), within=path
        )
    if field and "missing required field" in said:
        name = _joined(path, field[1])
        return Refusal(ErrorCode.PARAMETER_MISSING, f"{name} is required", param=name)
    if path == AMOUNT:
        said = _how_amounts_are_written(content)
    elif said.startswith(("Invalid enum value", "Invalid value")):  # msgspec quotes the value
        said = f"must be one of {', '.join(_choices(shape, path))}"
    elif types := _TYPES.match(said):
        said = f"must be {_kinds(types[1])}, not {_kinds(types[2])}"
    elif repr(NOT_BLANK) in said:
        said = "must have a character that can be seen"
    return Refusal(ErrorCode.PARAMETER_INVALID, f"{path or 'the body'}: {said}", param=path or None)


def unknown_parameter(param: str, name: str, known: Iterable[str], *, within: str = "") -> Refusal:
    """The refusal of a parameter that a call does not take; it names the parameter that is likely
    meant, and quotes nothing.
    """
    near = difflib.get_close_matches(name, known, n=1)
    meant = f": did you mean {_joined(within, near[0])}?" if near else ""
    return Refusal(
        ErrorCode.PARAMETER_UNKNOWN, f"this call takes no such parameter{meant}", param=param
    )


def known_parameters(shape: type[msgspec.Struct], path: str = "") -> set[str]:
    """The names of the parameters that a body has at a path."""
    found: set[str] = set()
    for kind in _at(shape, path):
        if isinstance(kind, inspect.StructType):
            found |= {field.encode_name for field in kind.fields}
            found |= {kind.tag_field} if kind.tag_field else set()
    return found


def _choices(shape: type[msgspec.Struct], path: str) -> list[str]:
    """The values that an enumeration at a path takes, or the tag of an object."""
    found: list[Any] = []
    for kind in _at(shape, path):
        if isinstance(kind, inspect.EnumType):
            found += [member.value for member in kind.cls]
        elif isinstance(kind, inspect.LiteralType):
            found += kind.values
    parent, _, last = path.rpartition(".")
    for kind in _at(shape, parent):
        if isinstance(kind, inspect.StructType) and kind.tag_field == last:
            found.append(kind.tag)
    return [str(choice) for choice in found]


def _at(shape: type[msgspec.Struct], path: str) -> list[inspect.Type]:
    """The types that may stand at a path: several where a type is a union."""
    kinds = list(_alternatives(inspect.type_info(shape)))
    for step in _INDEX.sub("", path).split(".") if path else ():
        kinds = [
            alternative
            for kind in kinds
            if isinstance(kind, inspect.StructType)
            for field in kind.fields
            if field.encode_name == step
            for alternative in _alternatives(field.type)
        ]
    return kinds


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    match kind:
        case inspect.UnionType():
            for one in kind.types:
                yield from _alternatives(one)
        case inspect.VarTupleType() | inspect.ListType():
            yield from _alternatives(kind.item_type)
        case inspect.Metadata():
            yield from _alternatives(kind.type)
        case _:
            yield kind


def _how_amounts_are_written(content: bytes | None) -> str:
    """How amounts are written; with the sent amount, if it has a point and a known currency."""
    body = _decoded(content)
    try:
        currency = parse_currency(body["currency"])
    except (Refusal, KeyError, TypeError):
        currency = parse_currency("eur")
    amount = _EXAMPLE
    match body.get(AMOUNT):
        case Decimal() as sent if sent.is_finite() and 0 < sent < _AMOUNT_MOST:
            smallest = sent.scaleb(EXPONENTS[currency])
            amount = int(smallest) if smallest == int(smallest) else _EXAMPLE
    return (
        f"{major_units(amount, currency)} is written {amount}"
        " (an integer of the currency's smallest unit)"
    )


def _decoded(content: bytes | None) -> dict[str, Any]:
    try:
        return _amounts.decode(content or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _kinds(names: str) -> str:
    return " or ".join(_KINDS.get(name, name) for name in names.split(" | "))


def _joined(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field
