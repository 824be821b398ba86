"""Payouts on Stripe's wire: what is asked, that a list is told whole or not at all, and that no
silence is absence.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import Line, Payout
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.stripe.adapter import StripeProvider
from tests.providers.stripe_lines import MIDNIGHT, charge, payout, refund, row
from tests.providers.stripe_objects import METADATA, payment
from tests.providers.stripe_server import (
    Behaviour,
    StripeServer,
    answer,
    end_within,
    error,
    hang,
    reset,
)

AS_OF: Final = datetime(2026, 11, 24, 3, 42, tzinfo=UTC)
DAY: Final = (datetime(2026, 2, 26, tzinfo=UTC), datetime(2026, 2, 27, tzinfo=UTC))


def listed(*items: Any, has_more: bool = False) -> Behaviour:
    return answer({"object": "list", "data": list(items), "has_more": has_more})


def rows(first: int, count: int, **changes: Any) -> list[dict[str, Any]]:
    """Rows of one busy second."""
    return [row(id=f"txn_{n}", **changes) for n in range(first, first + count)]


async def lines(provider: StripeProvider, reference: str = "po_3Q") -> list[Line | Unknown]:
    found = provider.list_payout_lines(reference, timeout_seconds=5)
    return [each async for each in found]


async def test_one_payout(server: StripeServer, provider: StripeProvider) -> None:
    server.script.append(answer(payout()))
    found = await provider.retrieve_payout("po_3Q", timeout_seconds=5)
    assert isinstance(found, Payout)
    assert (found.amount, found.as_of) == (9_000, AS_OF)
    assert [(r.method, r.path) for r in server.requests] == [("GET", "/v1/payouts/po_3Q")]


@pytest.mark.parametrize("reference", ["", "po_1/../../account", "po 1", "x" * 300])
async def test_what_is_no_id_is_asked_for_nowhere(
    server: StripeServer, provider: StripeProvider, reference: str
) -> None:
    assert await provider.retrieve_payout(reference, timeout_seconds=5) == Absent()
    assert await provider.line_of_payment(reference, timeout_seconds=5) == Absent()
    assert await provider.line_of_refund(reference, timeout_seconds=5) == Absent()
    assert await provider.retrieve_line(reference, timeout_seconds=5) == Absent()
    with pytest.raises(ProviderSilent):
        await lines(provider, reference)
    assert not server.requests


MISSING: Final = error(404, type="invalid_request_error", code="resource_missing")


async def test_what_the_provider_lacks_is_absent(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = MISSING
    assert await provider.retrieve_payout("po_3Q", timeout_seconds=5) == Absent()
    assert await provider.line_of_payment("pi_3Q", timeout_seconds=5) == Absent()
    assert await provider.line_of_refund("re_3Q", timeout_seconds=5) == Absent()
    assert await provider.retrieve_line("txn_3Q", timeout_seconds=5) == Absent()
    with pytest.raises(ProviderSilent):
        await lines(provider)


SILENCE: Final[dict[str, Behaviour]] = {
    "a fault": error(500, type="api_error"),
    "a refused key": error(401, type="invalid_request_error"),
    "a payout by hand": error(400, type="invalid_request_error", param="payout"),
    "half an answer": end_within(payout()),
    "a lost reply": reset,
    "no answer": hang,
    "no JSON": answer(b"<html>"),
    "a number": answer(b"1e999"),
    "a proxy's 404": answer(b"not found", 404),
    "no object": answer({}),
    "another object": answer({"object": "payout", "id": "po_other", "livemode": False}),
}


@pytest.mark.parametrize("silence", SILENCE)
async def test_silence_is_never_absence(
    server: StripeServer, provider: StripeProvider, silence: str
) -> None:
    """Whatever stands in the way, nobody may take it for a payout without lines."""
    server.otherwise = SILENCE[silence]
    seconds = 0.2 if silence == "no answer" else 5
    assert isinstance(await provider.retrieve_payout("po_3Q", timeout_seconds=seconds), Unknown)
    assert isinstance(await provider.line_of_payment("pi_3Q", timeout_seconds=seconds), Unknown)
    assert isinstance(await provider.line_of_refund("re_3Q", timeout_seconds=seconds), Unknown)
    assert isinstance(await provider.retrieve_line("txn_3Q", timeout_seconds=seconds), Unknown)
    with pytest.raises(ProviderSilent):
        [_ async for _ in provider.list_payout_lines("po_3Q", timeout_seconds=seconds)]
    with pytest.raises(ProviderSilent):
        [_ async for _ in provider.list_payouts_created(*DAY, timeout_seconds=seconds)]


async def test_another_payout_is_no_answer(server: StripeServer, provider: StripeProvider) -> None:
    server.script.append(answer(payout(id="po_other")))
    assert isinstance(await provider.retrieve_payout("po_3Q", timeout_seconds=5), Unknown)


async def test_a_reply_that_was_lost_is_asked_for_again(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([reset, answer(payout()), listed(*rows(0, 100), has_more=True), reset])
    server.script.append(listed(*rows(100, 1)))
    assert isinstance(await provider.retrieve_payout("po_3Q", timeout_seconds=5), Payout)
    assert len(await lines(provider)) == 101


async def test_a_busy_second_is_told_whole(server: StripeServer, provider: StripeProvider) -> None:
    """250 rows with the same time, by pages of a hundred."""
    pages = (rows(0, 100), rows(100, 100), rows(200, 50))
    server.script.extend(listed(*page, has_more=page is not pages[2]) for page in pages)
    found = await lines(provider)
    references = [each.provider_reference for each in found if isinstance(each, Line)]
    assert references == [f"txn_{n}" for n in range(250)]
    assert {each.payout_reference for each in found if isinstance(each, Line)} == {"po_3Q"}
    asked = {"payout": "po_3Q", "limit": "100", "expand[0]": "data.source.charge"}
    cursors: list[dict[str, str]] = [
        {},
        {"starting_after": "txn_99"},
        {"starting_after": "txn_199"},
    ]
    assert [request.form for request in server.requests] == [asked | each for each in cursors]
    assert {request.path for request in server.requests} == {"/v1/balance_transactions"}


async def test_each_id_is_told_once_in_whatever_order(
    server: StripeServer, provider: StripeProvider
) -> None:
    """Pages that overlap, and rows that are not newest first."""
    first = [*rows(0, 50), *rows(900, 50, created=MIDNIGHT + 7_000)]
    second = [*rows(949, 1), *rows(30, 40, created=MIDNIGHT), *rows(69, 1)]
    server.script.extend([listed(*first, has_more=True), listed(*second)])
    found = [each.provider_reference for each in await lines(provider) if isinstance(each, Line)]
    assert found == [f"txn_{n}" for n in (*range(50), *range(900, 950), *range(50, 70))]


async def test_an_empty_page_that_was_promised_is_no_end(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([listed(*rows(0, 100), has_more=True), listed()])
    with pytest.raises(ProviderSilent, match="breaks off"):
        await lines(provider)


async def test_a_list_that_begins_anew_has_no_end(
    server: StripeServer, provider: StripeProvider
) -> None:
    """As a server does that ignores the cursor."""
    server.otherwise = listed(*rows(0, 100), has_more=True)
    with pytest.raises(ProviderSilent, match="begins anew"):
        await lines(provider)
    assert len(server.requests) == 2


BROKEN: Final[dict[str, Behaviour]] = {
    "no list": answer({"object": "list", "has_more": False}),
    "no word of more": answer({"object": "list", "data": []}),
    "more of nothing": listed(has_more=True),
    "a word": listed("txn_3Q"),
    "a row without an id": listed(row(id=None)),
    "a last row without an id": listed(row(), row(id=7), has_more=True),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_page_of_no_shape_is_silence(
    server: StripeServer, provider: StripeProvider, broken: str
) -> None:
    server.otherwise = BROKEN[broken]
    with pytest.raises(ProviderSilent):
        await lines(provider)


async def test_a_row_that_cannot_be_read_holds_up_nothing(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(listed(row(id="txn_1"), row(id="txn_odd", net=7), row(id="txn_2")))
    first, odd, last = await lines(provider)
    assert odd == Unknown("the amounts of the line txn_odd make no sense")
    assert isinstance(first, Line)
    assert isinstance(last, Line)


async def test_a_payout_that_cannot_be_read_holds_up_nothing(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(listed(payout(id="po_1", status="returned"), payout(id="po_2")))
    odd, good = [_ async for _ in provider.list_payouts_created(*DAY, timeout_seconds=5)]
    assert isinstance(odd, Unknown)
    assert isinstance(good, Payout)
    [request] = server.requests
    assert request.form == {
        "created[gte]": str(int(DAY[0].timestamp())),
        "created[lte]": str(int(DAY[1].timestamp())),
        "limit": "100",
    }


async def test_the_balance_of_a_currency(server: StripeServer, provider: StripeProvider) -> None:
    """Rows of other balances are in no payout."""
    others = ["issuing", "risk_reserved", "refund_and_dispute_prefunding"]
    server.script.append(
        listed(
            row(id="txn_1"),
            *(row(id=f"txn_of_{each}", balance_type=each) for each in others),
            {key: value for key, value in row(id="txn_2").items() if key != "balance_type"},
        )
    )
    since, until = DAY[0], DAY[1] + timedelta(milliseconds=1)
    found = [
        each
        async for each in provider.list_lines_created(
            Currency("eur"), since, until, timeout_seconds=5
        )
    ]
    lines = [each for each in found if isinstance(each, Line)]
    assert [each.provider_reference for each in lines] == ["txn_1", "txn_2"]
    assert [each.payout_reference for each in lines] == [None, None]
    [request] = server.requests
    assert request.form == {
        "created[gte]": str(int(since.timestamp())),
        "created[lte]": str(int(DAY[1].timestamp()) + 1),
        "limit": "100",
        "currency": "eur",
        "expand[0]": "data.source.charge",
    }


def shown_with(row_shown: object, **changes: Any) -> dict[str, Any]:
    """A payment whose latest charge shows its row."""
    source = charge(balance_transaction=row_shown, **changes)
    return payment(latest_charge=source)


async def test_the_line_of_a_payment(server: StripeServer, provider: StripeProvider) -> None:
    server.script.append(answer(shown_with(row(source="ch_3Q"))))
    found = await provider.line_of_payment("pi_3Q", timeout_seconds=5)
    assert isinstance(found, Line)
    assert (found.gross, found.payment_reference, found.source_reference) == (
        1999,
        "pi_3Q",
        "ch_3Q",
    )
    assert (found.attempt, found.payout_reference) == (METADATA["paygate_attempt"], None)
    [request] = server.requests
    assert request.path == "/v1/payment_intents/pi_3Q"
    assert request.form == {"expand[0]": "latest_charge.balance_transaction"}


async def test_the_line_of_a_refund(server: StripeServer, provider: StripeProvider) -> None:
    its_row = row(type="refund", reporting_category="refund", amount=-500, source="re_3Q")
    server.script.append(answer(refund(balance_transaction=its_row)))
    found = await provider.line_of_refund("re_3Q", timeout_seconds=5)
    assert isinstance(found, Line)
    assert (found.gross, found.payment_reference, found.source_reference) == (
        -500,
        "pi_3Q",
        "re_3Q",
    )
    [request] = server.requests
    assert request.path == "/v1/refunds/re_3Q"
    assert request.form == {"expand[0]": "balance_transaction", "expand[1]": "charge"}


async def test_a_line_by_its_own_id(server: StripeServer, provider: StripeProvider) -> None:
    server.script += [answer(row(source="ch_3Q")), answer(row(id="txn_other"))]
    found = await provider.retrieve_line("txn_3Q", timeout_seconds=5)
    assert isinstance(found, Line)
    assert (found.provider_reference, found.source_reference) == ("txn_3Q", "ch_3Q")
    assert isinstance(await provider.retrieve_line("txn_3Q", timeout_seconds=5), Unknown)
    request = server.requests[0]
    assert request.path == "/v1/balance_transactions/txn_3Q"
    assert request.form == {"expand[0]": "source.charge"}


@pytest.mark.parametrize(
    "shown",
    [payment(latest_charge=None), shown_with(None), shown_with(None, captured=False)],
    ids=["no charge", "no row", "held"],
)
async def test_what_moved_no_money_has_no_line(
    server: StripeServer, provider: StripeProvider, shown: dict[str, Any]
) -> None:
    server.script.append(answer(shown))
    assert await provider.line_of_payment("pi_3Q", timeout_seconds=5) == Absent()


async def test_a_refund_that_waits_has_no_line(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(answer(refund(balance_transaction=None, status="pending")))
    assert await provider.line_of_refund("re_3Q", timeout_seconds=5) == Absent()


@pytest.mark.parametrize(
    "shown",
    [
        shown_with("txn_3Q"),
        shown_with(row(net=1)),
        shown_with(row(), payment_intent="pi_other"),
        shown_with(row(), payment_intent=None),
        shown_with(row()) | {"id": "pi_other"},
        shown_with(row()) | {"livemode": True},
        payment(latest_charge="ch_3Q"),
        payment(latest_charge=7),
    ],
)
async def test_what_shows_no_line_of_its_own_tells_nothing(
    server: StripeServer, provider: StripeProvider, shown: dict[str, Any]
) -> None:
    """Not shown is not absent, and the line of another payment is none of this one's."""
    server.script.append(answer(shown))
    assert isinstance(await provider.line_of_payment("pi_3Q", timeout_seconds=5), Unknown)


async def test_another_refund_is_no_answer(server: StripeServer, provider: StripeProvider) -> None:
    server.script.append(answer(refund(id="re_other", balance_transaction=row())))
    assert isinstance(await provider.line_of_refund("re_3Q", timeout_seconds=5), Unknown)
