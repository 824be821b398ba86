"""Every posting against literals: which accounts, which amounts, in which currency."""

from typing import Any

import msgspec
import pytest

from paygate.domain import ledger
from paygate.domain.ledger import Account, Entry, Transfer, TransferKind, Unbalanced, check_intent
from paygate.domain.money import Currency
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import (
    Posting,
    RefundMoved,
    adopt,
    conclude_refund,
    reserve,
    start,
)
from paygate.domain.refunds.outcome import RefundAnswer, Refunded, RefundFailed
from paygate.domain.refunds.refund import Refund, RefundState, move
from tests.domain.refunds.made import LATER, NOW, a_refund, paid

EUR, USD = Currency("eur"), Currency("usd")
_S = RefundState


def transfer_of(*entries: tuple[Any, ...], currency: Currency = EUR) -> Transfer:
    return Transfer(
        id="lt_1",
        merchant="m",
        intent="pi_1",
        money_seq=1,
        kind=TransferKind.CAPTURE,
        currency=currency,
        entries=tuple(Entry(*entry) for entry in entries),
        posted_at=NOW,
    )


def captured(intent: PaymentIntent) -> Transfer:
    before = msgspec.structs.replace(intent, money_seq=0, amount_received=0)
    return ledger.capture(before, intent, transfer_id="lt_1", attempt="att_1")


def reserved() -> tuple[PaymentIntent, Refund]:
    moved = reserve(paid(), a_refund(paid(), 500))
    return moved.intent, moved.refund


def succeeded() -> tuple[PaymentIntent, Refund]:
    moved = concluded(*reserved(), Refunded())
    return moved.intent, moved.refund


def concluded(intent: PaymentIntent, refund: Refund, outcome: Any) -> RefundMoved:
    moved = conclude_refund(intent, refund, RefundAnswer(outcome, as_of=LATER), LATER, fetched=True)
    assert isinstance(moved, RefundMoved)
    return moved


def rejected() -> RefundMoved:
    waiting = reserve(paid(), a_refund(paid(), 500, _S.AWAITING_APPROVAL))
    return start(waiting.intent, waiting.refund, move(waiting.refund, _S.FAILED, LATER))


def adopted(state: RefundState) -> RefundMoved:
    moved = adopt(paid(), a_refund(paid(), 500, state, external=True))
    assert isinstance(moved, RefundMoved)
    return moved


def surfaced() -> RefundMoved:
    """One that had been given up, and was made at the provider after all."""
    failed = concluded(*reserved(), RefundFailed("provider_unavailable", "gone"))
    return concluded(failed.intent, failed.refund, Refunded())


def test_a_capture() -> None:
    posted = captured(paid())
    assert (posted.kind, posted.currency, posted.attempt) == ("capture", "eur", "att_1")
    assert posted.entries == (Entry(Account.PROVIDER, 1999, EUR), Entry(Account.SALES, -1999, EUR))


GONE = RefundFailed("declined", "no")
POSTED: list[tuple[RefundMoved, str, int, tuple[Any, ...], tuple[Any, ...]]] = [
    (
        reserve(paid(), a_refund(paid(), 500)),
        *("refund_reserve", 2, ("refunds", 500, "eur"), ("refunds_due", -500, "eur")),
    ),
    (
        reserve(paid(), a_refund(paid(), 500, _S.AWAITING_APPROVAL)),
        *("refund_reserve", 2, ("refunds", 500, "eur"), ("refunds_due", -500, "eur")),
    ),
    (
        concluded(*reserved(), Refunded()),
        *("refund_pay", 3, ("refunds_due", 500, "eur"), ("provider", -500, "eur")),
    ),
    (
        concluded(*reserved(), GONE),
        *("refund_release", 3, ("refunds_due", 500, "eur"), ("refunds", -500, "eur")),
    ),
    (
        rejected(),
        *("refund_release", 3, ("refunds_due", 500, "eur"), ("refunds", -500, "eur")),
    ),
    (
        adopted(_S.SUCCEEDED),
        *("refund_pay_at_once", 2, ("refunds", 500, "eur"), ("provider", -500, "eur")),
    ),
    (
        adopted(_S.PENDING),
        *("refund_reserve", 2, ("refunds", 500, "eur"), ("refunds_due", -500, "eur")),
    ),
    (
        surfaced(),
        *("refund_pay_at_once", 4, ("refunds", 500, "eur"), ("provider", -500, "eur")),
    ),
    (
        concluded(*succeeded(), GONE),
        *("refund_return", 4, ("provider", 500, "eur"), ("refunds", -500, "eur")),
    ),
]


@pytest.mark.parametrize(("moved", "kind", "place", "debit", "credit"), POSTED)
def test_each_posting_of_a_refund(
    moved: RefundMoved, kind: str, place: int, debit: tuple[Any, ...], credit: tuple[Any, ...]
) -> None:
    posted = ledger.refund(moved, transfer_id="lt_2")
    assert (posted.kind, posted.money_seq, posted.refund) == (kind, place, moved.refund.id)
    assert [msgspec.structs.astuple(entry) for entry in posted.entries] == [debit, credit]
    assert (posted.intent, posted.currency) == (moved.intent.id, "eur")


def test_every_posting_is_in_the_table() -> None:
    assert {kind for _, kind, *_ in POSTED} == set(Posting)
    assert {*Posting} <= {*TransferKind}


def test_what_moves_no_money_posts_nothing() -> None:
    waits = start(*reserved(), move(reserved()[1], _S.UNKNOWN, LATER))
    assert waits.posting is None
    with pytest.raises(AssertionError):
        ledger.refund(waits, transfer_id="lt_2")


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (("provider", 5, EUR),),
        (("provider", 5, EUR), ("sales", -4, EUR)),
        (("provider", 5, EUR), ("sales", -5, USD)),
        (("provider", 5, USD), ("sales", -5)),
        (("provider", 5, EUR), ("sales", -5, EUR), ("provider", 1, USD)),
        (("provider", 0, EUR), ("sales", 0, EUR)),
    ],
)
def test_entries_balance_in_each_currency_alone(entries: tuple[tuple[Any, ...], ...]) -> None:
    with pytest.raises(Unbalanced):
        transfer_of(*entries)


def test_an_account_holds_each_currency_apart() -> None:
    both = transfer_of(
        *((Account.PROVIDER, -900, EUR), (Account.REFUNDS, 900, EUR)),
        *((Account.PROVIDER, -1000, USD), (Account.SALES, 1000, USD)),
    )
    assert (both.moved(Account.PROVIDER), both.moved(Account.PROVIDER, USD)) == (-900, -1000)
    totals: dict[tuple[str, Currency, Account], int] = {}
    ledger.post(totals, both)
    ledger.post(totals, both)
    assert totals == {
        ("m", EUR, Account.PROVIDER): -1800,
        ("m", EUR, Account.REFUNDS): 1800,
        ("m", USD, Account.PROVIDER): -2000,
        ("m", USD, Account.SALES): 2000,
    }


def test_an_entry_of_before_is_in_its_transfers_currency() -> None:
    """It was written without one, and is read for ever."""
    old = msgspec.json.decode(b'{"account":"provider","amount":5}', type=Entry)
    assert old == Entry(Account.PROVIDER, 5)
    transfer = transfer_of(msgspec.structs.astuple(old), (Account.SALES, -5), currency=USD)
    assert (transfer.moved(Account.PROVIDER), transfer.moved(Account.PROVIDER, EUR)) == (5, 0)
    totals: dict[tuple[str, Currency, Account], int] = {}
    ledger.post(totals, transfer)
    assert totals == {("m", USD, Account.PROVIDER): 5, ("m", USD, Account.SALES): -5}


def test_a_posting_in_another_currency_is_found() -> None:
    intent = paid()
    good = captured(intent)
    assert check_intent(intent, [good]) == []
    entries = ledger.sides(Account.PROVIDER, Account.SALES, 1999, USD)
    for wrong in (
        msgspec.structs.replace(good, entries=entries),
        msgspec.structs.replace(good, entries=entries, currency=USD),
    ):
        assert check_intent(intent, [wrong]) != []
