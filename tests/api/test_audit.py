"""Every access leaves its entry: who, what, on which object, and what became of it."""

from pathlib import Path

import asyncpg
import pytest

from paygate.crypto.api_keys import parse_api_key
from paygate.domain.access.roles import Action, Actor, Role
from paygate.domain.audit import AuditEntry, Result, Subject
from paygate.settings import load
from paygate.storage.records import Records
from paygate.wiring.keys import open_records
from tests.api.test_provider_events import deliver, event, signed
from tests.gateway import Gateway, Response, until
from tests.storage.stored import TABLE_OF, select


@pytest.fixture(scope="module")
async def records(gateway: Gateway) -> Records:
    return await open_records(load({}, data=Path(gateway.ready["data_dir"])))


async def entries(gateway: Gateway, records: Records, request_id: str) -> list[AuditEntry]:
    """The entries of one request, oldest first."""
    connection = await asyncpg.connect(gateway.ready["database_url"])
    rows = await connection.fetch(f"{select(TABLE_OF[AuditEntry])} ORDER BY at, id")
    await connection.close()
    opened = [records.open(AuditEntry, tuple(row)) for row in rows]
    return [entry for entry in opened if entry.request_id == request_id]


def admin(gateway: Gateway) -> Actor:
    key = parse_api_key(gateway.ready["secret_key"])
    return Actor("api_key", id=key.key_id, role=Role.ADMIN)


async def confirm_unheard(gateway: Gateway, intent: str, token: str = "pm_card_visa") -> Response:
    """A confirm whose event stays away: were it quicker than the answer, it would conclude it."""
    await gateway.sandbox("POST", "/_sandbox/faults", {"on": "webhook", "kind": "lose", "count": 9})
    answer = await gateway.confirm(intent, token)
    await gateway.sandbox("DELETE", "/_sandbox/faults")
    return answer


async def leaves(
    gateway: Gateway,
    records: Records,
    answer: Response,
    action: Action,
    subject: str,
    times: int = 1,
) -> None:
    """An allowed call of the admin's left so many entries, each whole."""
    found = await entries(gateway, records, answer.headers["Request-Id"])
    assert len(found) == times
    for entry in found:
        assert (entry.action, entry.result) == (action, Result.ALLOWED)
        assert entry.actor == admin(gateway)
        assert entry.subject == Subject("payment_intent", subject)
        assert (entry.merchant, entry.address) == ("default", "127.0.0.1")


async def test_create_read_and_confirm(gateway: Gateway, records: Records) -> None:
    body = {"amount": 1999, "currency": "eur"}
    created = await gateway.call("POST", "/payment-intents", body)
    intent = created.json["id"]
    await leaves(gateway, records, created, Action.INTENT_CREATE, intent)
    read = await gateway.call("GET", f"/payment-intents/{intent}")
    await leaves(gateway, records, read, Action.INTENT_READ, intent)
    confirmed = await confirm_unheard(gateway, intent)
    # One with the attempt, before the provider is asked; one with its outcome.
    await leaves(gateway, records, confirmed, Action.INTENT_CONFIRM, intent, times=2)


async def test_a_decline_is_audited_as_what_it_is(gateway: Gateway, records: Records) -> None:
    intent = await gateway.create()
    answer = await confirm_unheard(gateway, intent["id"], "pm_card_visa_chargeDeclined")
    assert answer.json["status"] == "failed"
    await leaves(gateway, records, answer, Action.INTENT_CONFIRM, intent["id"], times=2)


@pytest.mark.parametrize("name", ["ada@shop.example", "Łukasz Żółć", "山田　太郎"])
async def test_the_person_behind_the_key_is_named(
    gateway: Gateway, records: Records, name: str
) -> None:
    intent = await gateway.create()
    path = f"/payment-intents/{intent['id']}"
    answer = await gateway.call("GET", path, headers={"Paygate-Actor": name})
    (entry,) = await entries(gateway, records, answer.headers["Request-Id"])
    assert entry.actor.name == name
    assert entry.actor.id == admin(gateway).id


async def test_refusals_of_a_valid_key(gateway: Gateway, records: Records) -> None:
    """What was asked for is named, there or not; what is no id is not repeated."""
    intent = (await gateway.create())["id"]
    await gateway.confirm(intent)
    good, bad = {"amount": 1, "currency": "eur"}, {"amount": 0, "currency": "eur"}
    create, read, confirm = Action.INTENT_CREATE, Action.INTENT_READ, Action.INTENT_CONFIRM
    # A publishable key's refusals are counted, so this one is nobody else's.
    made = await gateway.call("POST", "/api-keys", {"role": "publishable"})
    publishable, unknown = made.json["key"], "pi_" + "0" * 26
    path = f"/payment-intents/{intent}"
    for answer, status, action, subject in (
        (await gateway.call("POST", "/payment-intents", good, key=publishable), 403, create, None),
        (await gateway.call("GET", path, key=publishable), 404, read, intent),
        (await gateway.call("GET", f"/payment-intents/{unknown}"), 404, read, unknown),
        (await gateway.call("GET", "/payment-intents/nonsense"), 404, read, None),
        (await gateway.call("POST", "/payment-intents", bad), 400, create, None),
        (await gateway.call("POST", "/payment-intents", raw=b"{"), 400, create, None),
        (await gateway.call("POST", f"{path}/confirm", raw=b"{"), 400, confirm, intent),
        (await gateway.confirm(intent), 409, confirm, intent),
    ):
        assert answer.status == status
        (entry,) = await entries(gateway, records, answer.headers["Request-Id"])
        assert (entry.action, entry.result) == (action, Result.REFUSED)
        assert entry.subject == (subject and Subject("payment_intent", subject))
        assert entry.details == {"code": answer.code}
        assert (entry.merchant, entry.address) == ("default", "127.0.0.1")
        key = parse_api_key(publishable)
        stranger = Actor("api_key", id=key.key_id, role=Role.PUBLISHABLE)
        by_stranger = answer.status == 403 or (status, subject) == (404, intent)
        assert entry.actor == (stranger if by_stranger else admin(gateway))


async def test_a_provider_event_is_audited_twice(gateway: Gateway, records: Records) -> None:
    """When it is received, by its signature; and when the worker applies it."""
    body = event("evt_audited")
    answer = await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
    assert answer.status == 200
    (received,) = await entries(gateway, records, answer.headers["Request-Id"])
    assert (received.action, received.result) == (Action.PROVIDER_EVENT_RECEIVE, Result.ALLOWED)
    assert received.actor == Actor("provider", id="stripe")
    assert (received.merchant, received.address) == ("default", "127.0.0.1")
    subject = received.subject
    assert subject is not None
    assert subject.object == "provider_event"

    async def by_the_worker() -> list[AuditEntry]:
        return await entries(gateway, records, subject.id)

    (applied,) = await until(by_the_worker)
    assert (applied.action, applied.subject) == (Action.PROVIDER_EVENT_APPLY, subject)
    assert applied.actor == received.actor


async def test_a_duplicate_event_is_on_record_under_the_first_ones_name(
    gateway: Gateway, records: Records
) -> None:
    """Its acknowledgement is as durable as the first one, so it has a commit of its own."""
    body, subjects = event("evt_audited_twice"), []
    for _ in range(2):
        answer = await deliver(gateway, body, signed(gateway.ready["webhook_secret"], body))
        assert answer.status == 200
        (received, *_) = await entries(gateway, records, answer.headers["Request-Id"])
        assert received.action is Action.PROVIDER_EVENT_RECEIVE
        subjects.append(received.subject)
    assert subjects[0] is not None
    assert subjects[0] == subjects[1]
