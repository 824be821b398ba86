"""Refuses card data at the door: all that a caller wrote is searched before anything else is done
with the request.

The parameter of a find is named; the value goes into no response, log, alert or audit entry.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import unquote_plus

import msgspec

from paygate.api.edge.exchange import Exchange
from paygate.domain.card_data.search import SHORTEST, CardData, find, may_hold
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.alerts.report_card_data import report_card_data
from paygate.flows.context import Context

HEADERS: Final = ("Idempotency-Key", "Paygate-Actor", "Paygate-Session")
"""The searched headers: those whose text is kept or hashed."""
_AMOUNT: Final = "amount"
"""The name of integers that are money, however long."""
_REFERENCE: Final = "reference"
"""The name of the merchant's own number, which may be digits alone where a setting says so."""
_NAME_LENGTH: Final = 100
_NUMERIC_REFERENCE: Final = re.compile(rf"{_REFERENCE}=[0-9]*")
_SMALLEST: Final = 10 ** (SHORTEST - 1)


class Spotted(NamedTuple):
    """Card data, and the parameter with it; None for the body or the path as a whole."""

    kind: CardData
    param: str | None


async def refuse_card_data(ctx: Context, exchange: Exchange, spotted: Spotted) -> NoReturn:
    """Raise the alert, then refuse.

    Raises:
        Refusal: `card_data_refused`.
    """
    assert exchange.action is not None, "it is looked for behind an API key"
    await report_card_data(ctx, exchange.known_caller, exchange.action)
    raise Refusal(
        ErrorCode.CARD_DATA_REFUSED,
        f"{spotted.param or 'the request'} holds what looks like a {spotted.kind}, which must go to"
        " the provider's own fields and never here; nothing was stored",
        param=spotted.param,
    )


def take_from_envelope(exchange: Exchange, *, numeric_references: bool) -> Spotted | None:
    """The card data in path, query and headers. A header with card data is taken off the request at
    once: one of these headers names the caller, and callers are written down with every refusal.
    """
    headers = exchange.headers
    written = [exchange.target, exchange.query, *(headers.get(n.lower(), "") for n in HEADERS)]
    if not may_hold("|:".join(written).encode()):
        return None
    spotted = _in_headers(exchange)
    if spotted is not None:
        return spotted
    if (kind := find(exchange.target)) is not None:
        return Spotted(kind, None)
    return _in_query(exchange.query, numeric_references=numeric_references)


def _in_headers(exchange: Exchange) -> Spotted | None:
    spotted = None
    for name in HEADERS:
        kind = find(_unicode(exchange.headers.get(name.lower(), "")))
        if kind is not None:
            spotted = Spotted(kind, name)
            exchange.headers = {k: v for k, v in exchange.headers.items() if k != name.lower()}
    return spotted


def _unicode(header: str) -> str:
    """A header as its sender meant it: UTF-8, where its bytes are that."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _in_query(query: str, *, numeric_references: bool) -> Spotted | None:
    pairs = query.split("&")
    if numeric_references:
        pairs = [pair for pair in pairs if not _NUMERIC_REFERENCE.fullmatch(pair)]
    for pair in pairs:
        name, _, value = (unquote_plus(part) for part in pair.partition("="))
        if (kind := find(name)) is not None:
            return Spotted(kind, None)
        name = name[:_NAME_LENGTH]
        if (kind := find(value, name)) is not None:
            return Spotted(kind, name)
    kind = find("&".join(pairs))
    return None if kind is None else Spotted(kind, None)


def in_body(raw: bytes, *, numeric_references: bool) -> Spotted | None:
    """The card data in a JSON body, whether or not the call takes such a body."""
    if not may_hold(raw):
        return None
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        kind = find(raw.decode(errors="replace"))
        return None if kind is None else Spotted(kind, None)
    for path, text in _texts(value):
        if numeric_references and path == _REFERENCE and text.isascii() and text.isdecimal():
            continue
        if (kind := find(text, path)) is not None:
            shown = None if find(path) else path or None
            return Spotted(kind, shown)
    return None


def in_texts(texts: Iterable[tuple[str, str]]) -> Spotted | None:
    """The card data in texts of a form, each with the name of its part."""
    for name, text in texts:
        if may_hold(text.encode()) and (kind := find(text, name)) is not None:
            return Spotted(kind, name)
    return None


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, names and long numbers included, with the path to it.

    A name stands under the path of its object, and comes before what it names: whatever comes
    later has a path without card data in it.
    """
    waiting = [("", value)]
    while waiting:
        path, value = waiting.pop()
        match value:
            case str():
                yield path, value
            case bool() | None:
                pass
            case int() | float():
                if abs(value) >= _SMALLEST and not (path == _AMOUNT and isinstance(value, int)):
                    yield path, f"{value:.0f}" if isinstance(value, float) else str(value)
            case list():
                # A card number may come a digit at a time.
                yield path, " ".join(str(i) for i in value if isinstance(i, str | int))
                waiting += [(path, item) for item in reversed(value)]
            case dict():
                yield from ((path, name) for name in value)
                pairs = reversed(value.items())
                waiting += [
                    (f"{path}.{name}"[:_NAME_LENGTH] if path else name[:_NAME_LENGTH], item)
                    for name, item in pairs
                ]
