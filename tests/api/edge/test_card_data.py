"""Card data at every place that a caller can write to: refused, alerted, and kept nowhere."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import asyncpg

from paygate.api.edge.card_data import in_body, take_from_envelope
from paygate.api.edge.exchange import Exchange
from paygate.domain.audit import Result
from paygate.settings import load
from paygate.telemetry.timing import Timing
from paygate.wiring.keys import open_records
from tests.api.shops import Shop, audited, open_shop
from tests.domain.card_data.card_numbers import IBANS, NUMBERS, SPELLINGS, fours
from tests.gateway import Gateway, Response
from tests.storage.stored import TABLE_OF, select
from tests.storage.test_no_plaintext import dump_of

GOOD: Final[dict[str, Any]] = {"amount": 1999, "currency": "eur"}
CONFIRM: Final[dict[str, Any]] = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}
CREATE = ("POST", "/payment-intents")
INTENT = "/payment-intents/{id}"


class Place(NamedTuple):
    """Where a text can be put into a request, and the parameter that the answer must name."""

    method: str
    path: str
    body: Any
    """TEXT stands for the text."""
    param: str | None


TEXT = "{text}"
BODIES: Final = (
    Place(*CREATE, GOOD | {"reference": TEXT}, "reference"),
    Place(*CREATE, GOOD | {"description": f"for {TEXT}!"}, "description"),
    Place(*CREATE, GOOD | {"statement_descriptor": TEXT}, "statement_descriptor"),
    Place(*CREATE, GOOD | {"session_id": TEXT}, "session_id"),
    Place(*CREATE, GOOD | {"currency": TEXT}, "currency"),
    Place(*CREATE, GOOD | {"capture_method": TEXT}, "capture_method"),
    Place(*CREATE, GOOD | {"payment_method_types": ["card", TEXT]}, "payment_method_types"),
    Place(*CREATE, GOOD | {"metadata": {"note": TEXT}}, "metadata.note"),
    Place(*CREATE, GOOD | {"metadata": {TEXT: "note"}}, "metadata"),
    Place(*CREATE, GOOD | {"customer": {"name": TEXT}}, "customer.name"),
    Place(*CREATE, GOOD | {"customer": {"email": f"{TEXT}@shop.example"}}, "customer.email"),
    Place(*CREATE, GOOD | {"customer": {"id": TEXT}}, "customer.id"),
    Place(*CREATE, GOOD | {"card": {"number": TEXT, "cvc": "123"}}, "card.number"),
    Place(*CREATE, GOOD | {TEXT: 1}, None),
    Place(*CREATE, [TEXT], None),
    Place(*CREATE, TEXT, None),
    Place("POST", f"{INTENT}/cancel", {"reason": TEXT}, "reason"),
    Place(
        "POST",
        f"{INTENT}/confirm",
        CONFIRM | {"payment_method": {"type": "card", "token": TEXT}},
        "payment_method.token",
    ),
    Place(
        *CREATE, GOOD | {"payment_method": {"type": "card", "token": TEXT}}, "payment_method.token"
    ),
    Place(
        "POST",
        f"{INTENT}/payment-method",
        {"payment_method": {"type": "card", "token": TEXT}},
        "payment_method.token",
    ),
    Place("POST", f"{INTENT}/confirm", CONFIRM | {"payment_method": {"type": TEXT}}, None),
    Place(
        "POST", f"{INTENT}/confirm", CONFIRM | {"return_url": f"https://a.example/?n={TEXT}"}, None
    ),
    Place("POST", "/api-keys", {"role": "support", "name": TEXT}, "name"),
    Place("POST", "/alerts/al_00000000000000000000000000/acknowledge", {"note": TEXT}, "note"),
)
QUERIES: Final = (
    Place("GET", f"/payment-intents?reference={TEXT}", None, "reference"),
    Place("GET", f"/payment-intents?limit=2&{TEXT}=1", None, None),
    Place("GET", f"/alerts?status={TEXT}", None, "status"),
    Place("GET", f"/payment-intents/{TEXT}", None, None),
    Place("POST", f"/payment-intents/{TEXT}/cancel", {}, None),
    Place("GET", f"/customers/{TEXT}", None, None),
)
HEADERS: Final = ("Idempotency-Key", "Paygate-Actor", "Paygate-Session")


def put(body: Any, text: str) -> Any:
    """The body with the text in its place."""
    match body:
        case str():
            return body.replace(TEXT, text)
        case list():
            return [put(item, text) for item in body]
        case dict():
            return {put(name, text): put(value, text) for name, value in body.items()}
        case _:
            return body


def refused(answer: Response, text: str, param: str | None = "?") -> None:
    assert (answer.status, answer.code) == (400, "card_data_refused"), (answer, text)
    error = answer.json["error"]
    assert (error["type"], error["retriable"]) == ("invalid_request", False)
    if param != "?":
        assert error["param"] == param, (error, text)
    assert text not in str(error)


async def alert_of(shop: Shop) -> dict[str, Any]:
    (alert,) = (await shop.call("GET", "/alerts")).json["data"]
    return dict(alert)


async def leaks(gateway: Gateway, wanted: set[str]) -> Iterator[str]:
    """Which of the texts stand in the log, in a dump, or in any record once it is opened."""
    dsn = gateway.ready["database_url"]
    log = gateway.log.read_text()
    dump = (await asyncio.to_thread(dump_of, dsn)).decode(errors="replace")
    records = await open_records(load({}, data=Path(gateway.ready["data_dir"])))
    connection = await asyncpg.connect(dsn)
    opened = []
    for kind, table in TABLE_OF.items():
        rows = await connection.fetch(select(table))
        opened += [repr(records.open(kind, tuple(row))) for row in rows]
    opened += [
        repr(row["payload"]) for row in await connection.fetch("SELECT payload FROM pgqueuer")
    ]
    await connection.close()
    assert "shop-canary" in "\n".join(opened), "the search sees what is there"
    everything = "\n".join([log, dump, *opened])
    return (text for text in wanted if text in everything)


async def test_card_data_is_refused_everywhere_and_kept_nowhere(gateway: Gateway) -> None:
    chance = random.Random(20261124)
    shop = await open_shop(gateway)
    await shop.call(*CREATE, GOOD | {"reference": "shop-canary"})
    intent = (await shop.call(*CREATE, GOOD)).json["id"]
    sent, count = set(), 0
    spellings = list(SPELLINGS.values())
    for place in BODIES:
        for spell in chance.sample(spellings, 9):
            number = chance.choice(NUMBERS)
            text = spell(number)
            answer = await shop.call(
                place.method, place.path.replace("{id}", intent), put(place.body, text)
            )
            refused(answer, text, place.param or "?")
            sent |= {number, text, fours(number)}
            count += 1
        text = chance.choice(IBANS)
        answer = await shop.call(
            place.method, place.path.replace("{id}", intent), put(place.body, text)
        )
        refused(answer, text)
        sent.add(text)
        count += 1
    for place in QUERIES:
        for spell in chance.sample(spellings, 9):
            number = chance.choice(NUMBERS)
            text = spell(number)
            if "/" in text and place.param is None:
                continue  # it is then another path
            answer = await shop.call(
                place.method, place.path.replace(TEXT, quote(text, safe="%")), place.body
            )
            refused(answer, text)
            sent |= {number, text, fours(number)}
            count += 1
    for header in HEADERS:
        for number in NUMBERS:
            for spelled in (
                number,
                fours(number),
                fours(number, "-"),
                SPELLINGS["full-width"](number),
            ):
                answer = await shop.call(*CREATE, GOOD, headers={header: spelled})
                refused(answer, spelled, header)
                sent |= {number, spelled}
                count += 1
    alert = await alert_of(shop)
    assert alert["count"] == count
    assert [*await leaks(gateway, sent)] == []


async def test_the_alert_says_what_to_do_and_the_audit_log_says_no_more(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    headers = {"Paygate-Actor": "4242 4242 4242 4242", "Idempotency-Key": "order-1"}
    answer = await shop.call(*CREATE, GOOD, headers=headers)
    refused(answer, "4242", "Paygate-Actor")
    alert = await alert_of(shop)
    assert (alert["type"], alert["severity"], alert["status"], alert["count"]) == (
        "card_data_refused",
        "critical",
        "open",
        1,
    )
    assert alert["subject"]["object"] == "api_key"
    assert "provider's own fields" in alert["what_to_do"]
    assert "4242" not in str(alert)
    request = answer.headers["Request-Id"]
    assert request in alert["message"]
    entries = (await audited(gateway))[request]
    assert {e.actor.name for e in entries} == {None}
    assert [e.details for e in entries if e.result is Result.REFUSED] == [
        {"code": "card_data_refused", "param": "Paygate-Actor"}
    ]
    assert "4242" not in repr(entries)
    other = await open_shop(gateway)
    assert (await other.call("GET", "/alerts")).json["data"] == []


async def test_the_key_stays_free_and_nothing_is_stored(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    headers = {"Idempotency-Key": "order-1"}
    for _ in range(2):
        bad = await shop.call(*CREATE, GOOD | {"description": NUMBERS[0]}, headers=headers)
        refused(bad, NUMBERS[0], "description")
    good = await shop.call(*CREATE, GOOD | {"description": "a book"}, headers=headers)
    assert good.status == 201
    listed = await shop.call("GET", "/payment-intents")
    assert [i["id"] for i in listed.json["data"]] == [good.json["id"]]


async def test_who_may_not_ask_is_told_that_and_leaves_no_number(gateway: Gateway) -> None:
    """A refusal that comes first is written down too: not with the header's text in it."""
    shop = await open_shop(gateway)
    support = (await shop.made("support"))["key"]
    headers = {"Paygate-Actor": NUMBERS[0]}
    answer = await shop.call(*CREATE, GOOD, key=support, headers=headers)
    assert (answer.status, answer.code) == (403, "role_not_allowed")
    entries = (await audited(gateway))[answer.headers["Request-Id"]]
    assert NUMBERS[0] not in repr(entries)
    unknown = await gateway.call(*CREATE, GOOD | {"description": NUMBERS[0]}, key=None)
    assert (unknown.status, unknown.code) == (401, "api_key_missing")


async def test_many_at_once_are_all_refused(gateway: Gateway) -> None:
    """They meet at one alert; none of them fails for that."""
    shop = await open_shop(gateway)
    bad = GOOD | {"description": NUMBERS[0]}
    for answer in await asyncio.gather(*(shop.call(*CREATE, bad) for _ in range(40))):
        refused(answer, NUMBERS[0], "description")
    assert 1 <= (await alert_of(shop))["count"] <= 40


RAW: Final = (
    b'{"amount":1999,"currency":"eur","reference":4242424242424242}',
    b'{"amount":1999,"currency":"eur","reference":4242424242424242.0}',
    b'{"amount":1999,"currency":"eur","reference":[4,2,4,2,4,2,4,2,4,2,4,2,4,2,4,2]}',
    b'{"amount":1999,"currency":"eur","reference":["4242","4242","4242","4242"]}',
    b'{"amount":1999,"currency":"eur","reference":"\\u0034242424242424242"}',
    b'{"amount":1999,"currency":"eur","reference":"4242\\n4242\\n4242\\n4242"}',
    b'{"amount":1999,"currency":"eur","reference":"4242 4242 4242 4242"',
    b"number=4242424242424242&cvc=123",
    b"number=4242+4242+4242+4242&cvc=123",
    f"{{'number': '{SPELLINGS['full-width'](NUMBERS[0])}'}}".encode(),
)


async def test_bodies_that_are_not_even_right(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    for raw in RAW:
        refused(await shop.call(*CREATE, raw=raw), "4242")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        refused(await shop.call(*CREATE, raw=raw, headers=form), "4242")
    alert = await alert_of(shop)
    assert alert["count"] == 2 * len(RAW)


async def test_money_is_money(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    answer = await shop.call(*CREATE, GOOD | {"amount": 4242424242424242})
    assert (answer.status, answer.code) == (400, "amount_too_large")


async def test_a_payers_browser_is_refused_too(gateway: Gateway) -> None:
    intent, secret = await gateway.create_with_secret()
    headers = {
        "Authorization": f"Bearer {gateway.ready['publishable_key']}",
        "Paygate-Client-Secret": secret,
    }
    body = CONFIRM | {"payment_method": {"type": "card", "token": NUMBERS[0]}}
    path = f"/payment-intents/{intent['id']}/confirm"
    refused(await gateway.call("POST", path, body, headers=headers), NUMBERS[0])
    assert (await gateway.read(intent["id"]))["status"] == "created"
    assert await gateway.charges(intent["id"]) == []
    assert json.dumps(NUMBERS[0]) not in gateway.log.read_text()


def test_a_reference_of_digits_alone_may_pass_where_the_merchant_says_so() -> None:
    """Nothing else may: not with text around it, and not under another name."""
    number = NUMBERS[0]
    asked = Exchange("req_1", {}, None, Timing())
    for numeric in (True, False):
        body = json.dumps(GOOD | {"reference": number}).encode()
        assert (in_body(body, numeric_references=numeric) is None) is numeric
        asked.query = f"limit=3&reference={number}"
        assert (take_from_envelope(asked, numeric_references=numeric) is None) is numeric
    others: tuple[dict[str, Any], ...] = (
        {"reference": f"order {number}"},
        {"metadata": {"reference": number}},
        {"description": number},
        {"reference": IBANS[0]},
    )
    for other in others:
        assert in_body(json.dumps(GOOD | other).encode(), numeric_references=True) is not None
    for query in (f"references={number}", f"reference=n{number}", f"reference=1&status={number}"):
        asked.query = query
        assert take_from_envelope(asked, numeric_references=True) is not None


def test_a_value_that_another_of_its_name_replaces_is_searched() -> None:
    for body in (
        '{"description": "%s", "description": "x"}',
        '{"description": %s, "description": 1}',
        '{"metadata": {"a": {"b": "%s"}}, "metadata": {}}',
        '{"metadata": {"a": ["%s"], "a": "x", "a": "y"}}',
    ):
        for written, found in ((NUMBERS[0], True), ("1234", False)):
            spotted = in_body((body % written).encode(), numeric_references=False)
            assert (spotted is not None) is found, body
    again = '{"a":' * 900 + f'"{NUMBERS[0]}"' + ',"a":1}' * 900
    assert in_body(again.encode(), numeric_references=False) is not None


def test_a_fields_name_tells_a_bank_reference_from_a_card() -> None:
    """It does so in a body and in a query, and a long name or a deep body changes nothing."""
    number = NUMBERS[0]
    asked = Exchange("req_1", {}, None, Timing())
    for name, found in (("kid", False), ("card_kid", True), ("note", True), ("n" * 9_000, True)):
        body = json.dumps({"metadata": {name: number}}).encode()
        assert (in_body(body, numeric_references=False) is not None) is found
        asked.query = f"{name}={number}"
        assert (take_from_envelope(asked, numeric_references=False) is not None) is found
    deep = b'{"a":' * 10_000 + f'"{number}"'.encode() + b"}" * 10_000
    spotted = in_body(deep, numeric_references=False)
    assert spotted is not None
    assert spotted.param is None
