"""Refuses card data at the door: all that a caller wrote is searched before anything else is done
with the request.

The parameter of a find is named; the value goes into no response, log, alert or audit entry.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

import msgspec

from paygate.api.edge.exchange import Exchange
from paygate.domain.card_data.search import SHORTEST, CardData, find, may_hold
from paygate.flows.alerts.report_card_data import card_data_refusal

HEADERS: Final = ("Idempotency-Key", "Paygate-Actor", "Paygate-Session")
"""The headers whose text is kept or hashed, as an answer spells their names."""
_SPELLED: Final = {name.lower(): name for name in HEADERS}
_NOT_SEARCHED: Final = frozenset(
    {
        *("authorization", "paygate-client-secret"),  # compared, and never kept
        *("host", "content-length", "cookie", "forwarded", "x-real-ip", "via", "x-request-id"),
        *("traceparent", "tracestate", "baggage", "sentry-trace", "uber-trace-id", "newrelic"),
        *("x-correlation-id", "x-cloud-trace-context"),
    }
)
"""Headers that programs on the way make of random digits, and of which nothing is read or kept
here: a payment in thirty would be refused for the number of its trace (decision 0066)."""
_NOT_SEARCHED_FAMILIES: Final = (
    *("x-datadog-", "x-b3-", "x-forwarded-", "x-amzn-", "x-envoy-", "cf-", "fly-", "sec-"),
)
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


def refuse(spotted: Spotted | None) -> None:
    """Raises `card_data_refused` for card data."""
    if spotted is not None:
        raise card_data_refusal(spotted.kind, spotted.param)


def take_from_envelope(exchange: Exchange, *, numeric_references: bool) -> Spotted | None:
    """The card data in path, query and headers. A header with card data is taken off the request at
    once: one of these headers names the caller, and callers are written down with every refusal.
    """
    headers = [each for pair in _searched(exchange.headers) for each in pair]
    if not may_hold("|x|".join([exchange.target, exchange.query, *headers]).encode()):
        return None
    spotted = _in_headers(exchange)
    if spotted is not None:
        return spotted
    if (kind := find(exchange.target)) is not None:
        return Spotted(kind, None)
    return _in_query(exchange.query, numeric_references=numeric_references)


def _in_headers(exchange: Exchange) -> Spotted | None:
    spotted = None
    for name, value in list(_searched(exchange.headers)):
        if (kind := find(name)) is not None:
            spotted = Spotted(kind, None)
        elif (kind := find(_unicode(value))) is not None:
            spotted = Spotted(kind, _SPELLED.get(name, name[:_NAME_LENGTH]))
        if kind is not None:
            exchange.headers = {k: v for k, v in exchange.headers.items() if k != name}
    return spotted


def _searched(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name not in _NOT_SEARCHED and not name.startswith(_NOT_SEARCHED_FAMILIES):
            yield name, value


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
        hidden = _given_twice(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        kind = find(raw.decode(errors="replace"))
        return None if kind is None else Spotted(kind, None)
    for text in hidden:
        if (kind := find(text)) is not None:
            return Spotted(kind, None)
    for path, text in _texts(value):
        if numeric_references and path == _REFERENCE and text.isascii() and text.isdecimal():
            continue
        if (kind := find(text, path)) is not None:
            shown = None if find(path) else path or None
            return Spotted(kind, shown)
    return None


def in_names(names: Iterable[str]) -> Spotted | None:
    """The card data in names that a caller chose: no parameter can be named."""
    return next((Spotted(kind, None) for name in names if (kind := find(name)) is not None), None)


def in_texts(texts: Iterable[tuple[str, str]]) -> Spotted | None:
    """The card data in texts of a form, each with the name of its part."""
    for name, text in texts:
        if may_hold(text.encode()) and (kind := find(text, name)) is not None:
            return Spotted(kind, name or None)
    return None


def _given_twice(raw: bytes) -> list[str]:
    """The texts of every value that another one of the same name replaces: who decodes a body has
    the last alone, and programs on the way here may have had the first.
    """
    hidden: list[str] = []

    def last_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        last = dict(pairs)
        if len(last) != len(pairs):
            for name, value in pairs:
                if value is not last[name]:
                    hidden.extend(text for _, text in _texts({name: value}))
        return last

    json.loads(raw.decode(), object_pairs_hook=last_of_each, parse_int=str)
    return hidden


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
