"""Every input that the OpenAPI document knows refuses a card number, and ten thousand of them in
fourteen spellings, sent in every way, are nowhere afterwards.
"""

import asyncio
import itertools
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import asyncpg
import msgspec
import pytest

from paygate.api.openapi import document
from paygate.domain.card_data.plain_text import normalise
from paygate.domain.card_data.search import find
from paygate.settings import load
from paygate.wiring.keys import open_records
from tests.api.edge.test_card_data import HEADERS, refused
from tests.api.shops import Shop, audited, open_shop
from tests.api.test_dispute_evidence import case
from tests.api.test_provider_events import deliver, event, signed
from tests.api.test_settlement_imports import HEADER, ended, parts, send
from tests.documents.made import pdf_saying
from tests.domain.card_data.card_numbers import NUMBERS, SPELLINGS, fours, generated
from tests.gateway import Gateway, Response
from tests.storage.stored import TABLE_OF, select
from tests.storage.test_no_plaintext import dump_of

NUMBER: Final = NUMBERS[0]
DOCUMENT: Final = msgspec.json.decode(msgspec.json.encode(document()))


class Input(NamedTuple):
    """A place of an operation that a caller can write to."""

    method: str
    path: str
    kind: str
    """`body`, `part`, `query`, `path` or `header`."""
    name: str


def leaves(schema: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """The path to every value of a body, whatever type it has."""
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from leaves(choice)
    if isinstance(items := schema.get("items"), dict):
        yield from leaves(items)
    for name, inner in schema.get("properties", {}).items():
        yield from ((name, *rest) for rest in (*leaves(inner), ()))
    if schema.get("additionalProperties"):
        yield ("any_name",)


def inputs() -> Iterator[Input]:
    """Every input of every operation that an API key calls."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            if "security" not in operation or operation["security"] == []:
                continue
            at = method.upper(), path
            for each in operation.get("parameters", ()):
                if each["name"] != "Paygate-Client-Secret":  # compared, and never kept
                    yield Input(*at, each["in"], each["name"])
            yield from (Input(*at, "header", name) for name in ("User-Agent", "X-Anything"))
            for media, body in operation.get("requestBody", {}).get("content", {}).items():
                kind = "body" if media == "application/json" else "part"
                for leaf in dict.fromkeys(leaves(body["schema"])):
                    yield Input(*at, kind, ".".join(leaf))


INPUTS: Final = tuple(dict.fromkeys(inputs()))
OPERATIONS: Final = tuple(dict.fromkeys((each.method, each.path) for each in INPUTS))


def form(name: str, content: bytes, filename: str | None = None) -> tuple[bytes, dict[str, str]]:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'Content-Disposition: form-data; name="{name}"{file}'
    raw = f"--a\r\n{head}\r\n\r\n".encode() + content + b"\r\n--a--\r\n"
    return raw, {"Content-Type": "multipart/form-data; boundary=a"}


async def put(shop: Shop, place: Input, text: str) -> tuple[Response, str | None]:
    """The answer to the text in one place, and the parameter that must be named."""
    path = place.path
    if place.kind == "path":
        path = path.replace(f"{{{place.name}}}", quote(text))
    path = re.sub(r"\{[a-z]+\}", "x", path)
    match place.kind:
        case "body":
            body: Any = text
            for name in reversed(place.name.split(".")):
                body = {name: body}
            return await shop.call(place.method, path, body), place.name
        case "part":
            raw, headers = form(place.name, b"x", f"{text}.pdf")
            return await shop.call(place.method, path, raw=raw, headers=headers), place.name
        case "query":
            path += f"?{place.name}={quote(text)}"
            return await shop.call(place.method, path), place.name
        case "header":
            headers = {place.name: text}
            shown = place.name if place.name in HEADERS else place.name.lower()
            return await shop.call(place.method, path, headers=headers), shown
        case _:
            return await shop.call(place.method, path), None


def test_the_walk_sees_what_the_document_has() -> None:
    kinds = {kind: {each.name for each in INPUTS if each.kind == kind} for kind in ("body", "part")}
    assert {"metadata.any_name", "payment_method.token", "texts.product_description"} <= kinds[
        "body"
    ]
    assert {"receipt", "mapping"} <= kinds["part"]
    assert len(OPERATIONS) > 45
    assert len(INPUTS) > 300


@pytest.mark.parametrize("kind", ["body", "part", "query", "path", "header"])
async def test_every_input_of_every_operation_refuses_a_card_number(
    gateway: Gateway, kind: str
) -> None:
    shop = await open_shop(gateway)
    for place in INPUTS:
        if place.kind == kind:
            answer, param = await put(shop, place, fours(NUMBER))
            assert (answer.status, answer.code) == (400, "card_data_refused"), (place, answer)
            assert answer.json["error"]["param"] == param, place
            assert "4242" not in answer.body.decode(), place


async def test_what_a_trace_or_a_proxy_writes_is_not_searched(gateway: Gateway) -> None:
    """And is kept nowhere (`test_ten_thousand_numbers_are_nowhere_afterwards`)."""
    shop = await open_shop(gateway)
    headers = {"X-Datadog-Trace-Id": NUMBER, "X-Request-Id": NUMBER, "Cookie": f"_ga={NUMBER}"}
    body = {"amount": 1999, "currency": "eur"}
    answer = await shop.call("POST", "/payment-intents", body, headers=headers)
    assert answer.status == 201, answer


async def test_files_and_the_texts_beside_them(gateway: Gateway) -> None:
    c = await case(gateway)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    content = pdf_saying(f"Paid with {fours(NUMBER)}")
    for _ in range(2):
        answer = await c.send(("receipt", content, "receipt.pdf"), headers=key)
        refused(answer, fours(NUMBER), "receipt")
    masked = pdf_saying("Paid with **** 4242")
    assert (await c.send(("receipt", masked, "receipt.pdf"), headers=key)).status == 200
    (alert,) = [
        each
        for each in (await c.shop.call("GET", "/alerts")).json["data"]
        if each["type"] == "card_data_refused"
    ]
    assert alert["count"] == 2
    raw, headers = form(f"n {NUMBER}", b"x")
    for path in (f"{c.path}/evidence", "/settlements/import"):
        refused(await c.shop.call("POST", path, raw=raw, headers=headers), NUMBER, None)
    for name in ("format", "mapping"):
        text = json.dumps({"gross": f"Betrag {NUMBER}"}).encode()
        answer = await send(gateway, parts(HEADER.encode(), **{name: text}))
        refused(answer, NUMBER, name)


ENCODINGS: Final = (
    *("plain", "spaces", "double spaces", "dashes", "tabs", "each digit apart", "zero-width"),
    *("full-width", "arabic", "percent-encoded", "percent-encoded spaces", "HTML entities"),
    *("base64", "glued to letters"),
)
BATCH: Final = 200
SIZES: Final = (14, 15, 16, 18, 19)
_BETWEEN = re.compile(r"\\t|\\u200b|%20|[ \t\-]")
_CODED = re.compile(r"(?:%3[0-9])+|(?:&#[0-9]+;)+|[A-Za-z0-9+/]{18,}={0,2}")


def traces(text: str, numbers: set[str], coded: set[str]) -> set[str]:
    """Which of the numbers stand in a text, in any of the spellings."""
    found = coded.intersection(_CODED.findall(text))
    for run in re.findall("[0-9]{14,}", _BETWEEN.sub("", normalise(text))):
        pieces = {run[at : at + size] for size in SIZES for at in range(len(run) - size + 1)}
        found |= numbers & pieces
    return found


async def kept(gateway: Gateway) -> list[str]:
    """The log, a dump, and every record once it is opened."""
    dsn = gateway.ready["database_url"]
    texts = [gateway.log.read_text()]
    texts.append((await asyncio.to_thread(dump_of, dsn)).decode(errors="replace"))
    records = await open_records(load({}, data=Path(gateway.ready["data_dir"])))
    connection = await asyncpg.connect(dsn)
    for kind, table in TABLE_OF.items():
        for row in await connection.fetch(select(table)):
            opened: Any = records.open(kind, tuple(row))
            texts.append(repr(opened))
            values = (getattr(opened, name) for name in opened.__struct_fields__)
            texts += [each.decode(errors="replace") for each in values if isinstance(each, bytes)]
    jobs = await connection.fetch("SELECT payload FROM pgqueuer")
    await connection.close()
    return texts + [job["payload"].decode() for job in jobs]


async def refused_bodies(shop: Shop, batch: list[str]) -> None:
    """A batch at the doors that merchants call."""
    metadata = {f"n{at}": text for at, text in enumerate(batch)}
    body = {"amount": 1999, "currency": "eur", "metadata": metadata}
    refused(await shop.call("POST", "/payment-intents", body), batch[0])
    texts = {"texts": {"uncategorized_text": "; ".join(batch)}}
    refused(await shop.call("POST", "/disputes/dp_1/evidence", texts), batch[0])
    note = "; ".join(batch[:20])
    refused(await shop.call("POST", "/payment-intents/x/cancel", {"reason": note}), batch[0])
    refused(await shop.call("POST", "/discrepancies/disc_1/resolve", {"note": note}), batch[0])
    path = f"/payment-intents?reference={quote(note, safe='%')}"
    refused(await shop.call("GET", path), batch[0], "reference")
    raw, headers = form("receipt", b"%PDF-", quote(batch[0], safe="%"))
    refused(await shop.call("POST", "/disputes/dp_1/evidence", raw=raw, headers=headers), batch[0])
    stranger = await shop.call("POST", "/payment-intents", body, key="pgw_test_sk_x")
    assert stranger.status == 401


async def masked_event(gateway: Gateway, batch: list[str]) -> str:
    """A batch as the provider's event; returns the event's own reference."""
    reference = f"evt_{uuid.uuid4().hex}"
    told = {"object": "payment_intent", "metadata": {f"n{at}": t for at, t in enumerate(batch)}}
    told |= {"id": "pi_x", "description": batch[0], "last_payment_error": {"message": batch[1]}}
    body = event(reference, type="payment_intent.updated_somehow", data={"object": told})
    assert (await deliver(gateway, body, "t=1,v1=00")).status == 400
    answer = await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    assert answer.status == 200
    return reference


async def test_ten_thousand_numbers_are_nowhere_afterwards(gateway: Gateway) -> None:
    """One in 570 of Diners' numbers is a company's too, and is left out, as the docs say."""
    numbers = [number for number in generated(20261129, 10_020) if find(number)][:10_000]
    assert len(numbers) == 10_000
    spelled = [
        SPELLINGS[encoding](number)
        for number, encoding in zip(numbers, itertools.cycle(ENCODINGS), strict=False)
    ]
    wanted, coded = set(numbers), {text for text in spelled if _CODED.fullmatch(text)}
    for number, text in zip(numbers[:14], spelled[:14], strict=True):
        planted = traces(f'log "{text}", {text!r}', wanted, coded)
        assert planted & {number, text}, "the search sees what is there"
    shop = await open_shop(gateway)
    references = []
    for batch in (spelled[at : at + BATCH] for at in range(0, len(spelled), BATCH)):
        await refused_bodies(shop, batch)
        references.append(await masked_event(gateway, batch))
    lines = "".join(f"x{at},,{t},EUR,1,2026-01-05,{t}\n" for at, t in enumerate(spelled))
    sent = await send(gateway, parts((HEADER + lines).encode()))
    assert sent.status == 202, sent
    done = await ended(gateway, sent.json["id"])
    assert done["lines_read"] == len(spelled)
    entries = [entry for each in (await audited(gateway)).values() for entry in each]
    counted = [int(entry.details.get("card_numbers_masked", 0)) for entry in entries]
    assert sum(counted) >= len(spelled) + 2 * len(references)
    assert gateway.log.read_text().count('"card_numbers_masked"') >= len(references)
    found: set[str] = set()
    for text in await kept(gateway):
        found |= traces(text, wanted, coded)
    assert found == set()
