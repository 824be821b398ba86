"""What is news to a merchant: a new status, or more money of a transfer; never the same twice."""

import itertools
from datetime import datetime, timedelta

import msgspec
import pytest

from paygate.domain import event
from paygate.domain.payments import events
from paygate.domain.payments.outcome import NextAction, RedirectToUrl, TransferInstructions
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from tests.making import START, make_intent

PARTLY = "payment_intent.partially_funded"
PAGE = RedirectToUrl("https://bank.example/3ds")


def waiting(action: NextAction | None, status: Status = Status.REQUIRES_ACTION) -> PaymentIntent:
    return msgspec.structs.replace(make_intent(), status=status, next_action=action)


def transfer(received: int) -> TransferInstructions:
    return TransferInstructions(1999 - received, received, "eur", "REF1", None, ())


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(Status, 2)))
def test_each_new_status_is_news_by_its_name(before: Status, after: Status) -> None:
    assert events.news(waiting(None, before), waiting(None, after)) == f"payment_intent.{after}"


@pytest.mark.parametrize("status", list(Status))
def test_the_same_status_is_no_news(status: Status) -> None:
    before = waiting(None, status)
    after = msgspec.structs.replace(before, version=2, pending_operation="cancel")
    assert events.news(before, after) is None


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        (transfer(0), transfer(500), PARTLY),
        (transfer(500), transfer(501), PARTLY),
        (transfer(500), transfer(500), None),
        (transfer(500), transfer(499), None),
        (transfer(500), None, None),
        (transfer(0), transfer(0), None),
        (None, transfer(0), None),
        (None, transfer(1), PARTLY),
        (PAGE, PAGE, None),
        (PAGE, None, None),
        (PAGE, transfer(0), None),
    ],
)
def test_more_money_than_before_is_news(
    before: NextAction | None, after: NextAction | None, news: str | None
) -> None:
    assert events.news(waiting(before), waiting(after)) == news


def test_a_new_status_is_told_before_a_part() -> None:
    """One event for each change, and the object in it has the part."""
    before = waiting(None, Status.PROCESSING)
    assert events.news(before, waiting(transfer(500))) == "payment_intent.requires_action"
    paid = waiting(None, Status.SUCCEEDED)
    assert events.news(waiting(transfer(500)), paid) == "payment_intent.succeeded"


@pytest.mark.parametrize(
    ("action", "amount"), [(None, 0), (PAGE, 0), (transfer(0), 0), (transfer(1500), 1500)]
)
def test_only_a_transfer_has_received_anything(action: NextAction | None, amount: int) -> None:
    assert events.received(waiting(action)) == amount


def test_an_event_is_the_object_as_it_was() -> None:
    intent = msgspec.structs.replace(waiting(transfer(5)), version=7)
    told = event.of(intent, PARTLY, event_id="ev_1", at=START + timedelta(1), request_id="req_1")
    assert (told.type, told.object, told.object_version) == (PARTLY, "payment_intent", 7)
    assert (told.object_id, told.record) == (intent.id, intent)
    assert (told.merchant, told.correction) == (intent.merchant, False)


def test_an_event_is_written_as_before_other_objects_had_events() -> None:
    """What an older version wrote is read, and the other way round."""

    class Before(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
        id: str
        merchant: str
        type: str
        object_version: int
        data: PaymentIntent
        created_at: datetime
        request_id: str | None = None

    intent = make_intent()
    told = event.of(intent, PARTLY, event_id="ev_1", at=START, request_id="req_1")
    written = msgspec.msgpack.encode(told)
    before = msgspec.msgpack.decode(written, type=Before)
    assert before.data == intent
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=event.Event) == told
