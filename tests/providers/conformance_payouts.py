"""What the port promises of payouts: that their lines sum, whose each is, and what it is for."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Approved, Unknown
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.settlements.outcome import Line, LineCategory, Payout, PayoutStatus
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.contract import CaptureOrder, ConfirmOrder, Provider
from tests.making import new_id
from tests.providers.conformance import PATIENCE, Subject, confirm, make_order
from tests.providers.conformance_disputes import dispute_of
from tests.providers.conformance_refunds import pay, refund, to_refund

C = LineCategory
A_WORD = "lunar_fee"
"""No category of any provider's."""


async def take(subject: Subject, **changes: Any) -> tuple[ConfirmOrder, str]:
    """A payment whose money may be paid out at once: its order and its reference."""
    order = make_order(subject, instrument=CardToken(subject.token_available), **changes)
    answer = await confirm(subject, order)
    assert isinstance(answer.outcome, Approved)
    assert answer.provider_reference is not None
    return order, answer.provider_reference


async def part_of_a_hold(subject: Subject, amount: int, part: int, currency: Currency) -> str:
    """The reference of a payment of which a part was captured."""
    held, reference = await take(
        subject, amount=amount, currency=currency, capture_method=CaptureMethod.MANUAL
    )
    captured = await subject.provider.capture(
        CaptureOrder(
            attempt=new_id("attempt"),
            provider_reference=reference,
            amount=part,
            currency=held.currency,
        ),
        timeout_seconds=PATIENCE,
    )
    assert isinstance(captured.outcome, Approved)
    return reference


async def payout(subject: Subject, reference: str) -> Payout:
    found = await subject.provider.retrieve_payout(reference, timeout_seconds=PATIENCE)
    assert isinstance(found, Payout)
    return found


async def read(listed: AsyncIterator[Line | Unknown]) -> list[Line]:
    """Every line, each once and each readable."""
    found = [each async for each in listed]
    lines = [each for each in found if isinstance(each, Line)]
    assert len({line.provider_reference for line in lines}) == len(found)
    return lines


async def lines_of(subject: Subject, reference: str) -> list[Line]:
    found = subject.provider.list_payout_lines(reference, timeout_seconds=PATIENCE)
    return await read(found)


async def balance(subject: Subject, around: Payout) -> list[Line]:
    """The lines of a payout's currency that were made about when the payout was."""
    window = timedelta(minutes=30)
    made = around.created_at
    found = subject.provider.list_lines_created(
        Currency(around.currency), made - window, made + window, timeout_seconds=PATIENCE
    )
    return await read(found)


def of_payment(lines: list[Line], reference: str) -> list[Line]:
    return [line for line in lines if line.payment_reference == reference]


def sums(lines: list[Line], paid: Payout) -> bool:
    """Whether all lines but the payout's own are its amount, and that row takes it away."""
    [own] = [line for line in lines if line.source_reference == paid.provider_reference]
    assert (own.category, own.net) == (C.PAYOUT, -paid.amount)
    return sum(line.net for line in lines if line is not own) == paid.amount


class PayoutConformance:
    @pytest.mark.parametrize(
        ("amount", "currency", "given_back"),
        [(1999, "eur", 500), (5_000, "jpy", 500), (5_000, "isk", 500), (51_200, "kwd", 1_230)],
    )
    async def test_the_lines_of_a_payout_are_its_amount(
        self, subject: Subject, amount: int, currency: str, given_back: int
    ) -> None:
        order, reference = await take(subject, amount=amount, currency=Currency(currency))
        back = to_refund(reference, given_back, currency)
        refunded = await refund(subject, back)
        paid = await payout(subject, await subject.pays_out(Currency(currency), "told"))
        assert (paid.currency, paid.automatic) == (currency, True)
        assert (paid.itemised, paid.lines_complete) == (True, True)
        assert paid.arrival_date >= paid.created_at.date()
        lines = await lines_of(subject, paid.provider_reference)
        assert sums(lines, paid)
        assert {line.payout_reference for line in lines} == {paid.provider_reference}
        charged, returned = sorted(of_payment(lines, reference), key=lambda line: -line.gross)
        assert (charged.category, charged.gross) == (C.CHARGE, amount)
        assert charged.net == amount - charged.fee
        assert charged.fee == sum(part.amount for part in charged.fees) > 0
        assert (charged.customer_amount, charged.customer_currency) == (amount, currency)
        assert (charged.attempt, charged.intent) == (order.attempt, order.intent)
        assert (charged.merchant, charged.installation) == ("default", subject.installation)
        assert (returned.category, returned.gross) == (C.REFUND, -given_back)
        assert (returned.source_reference, returned.attempt) == (
            refunded.provider_reference,
            back.refund,
        )
        assert {charged.connected_account, returned.connected_account} == {None}

    async def test_more_given_back_than_taken_is_a_payout_like_any_other(
        self, subject: Subject
    ) -> None:
        reference = (await take(subject, currency=Currency("sek")))[1]
        await subject.pays_out(Currency("sek"), "told")
        await refund(subject, to_refund(reference, 1999, "sek"))
        paid = await payout(subject, await subject.pays_out(Currency("sek"), "told"))
        assert paid.amount == -1999
        assert sums(await lines_of(subject, paid.provider_reference), paid)

    async def test_all_lines_are_listed_past_any_page(self, subject: Subject) -> None:
        """Of a word that nobody knows, with their money."""
        for units in range(1, 131):
            await subject.moves(units, Currency("nok"), A_WORD)
        paid = await payout(subject, await subject.pays_out(Currency("nok"), "told"))
        lines = await lines_of(subject, paid.provider_reference)
        assert sums(lines, paid)
        strange = [line for line in lines if line.category is C.UNKNOWN]
        assert sorted(line.gross for line in strange) == list(range(1, 131))
        assert {line.provider_category for line in strange} == {A_WORD}

    async def test_lines_that_are_not_told_yet(self, subject: Subject) -> None:
        await take(subject, currency=Currency("dkk"))
        reference = await subject.pays_out(Currency("dkk"), "untold")
        paid = await payout(subject, reference)
        assert (paid.itemised, paid.lines_complete) == (True, False)
        await subject.days_pass()
        paid = await payout(subject, reference)
        assert (paid.lines_complete, paid.status) == (True, PayoutStatus.PAID)
        assert sums(await lines_of(subject, reference), paid)

    async def test_a_payout_that_comes_back(self, subject: Subject) -> None:
        await take(subject, currency=Currency("chf"))
        reference = await subject.pays_out(Currency("chf"), "in_vain")
        before = await lines_of(subject, reference)
        await subject.days_pass()
        failed = await payout(subject, reference)
        assert (failed.status, failed.failure_code) == (PayoutStatus.FAILED, "account_closed")
        again = await payout(subject, await subject.pays_out(Currency("chf"), "told"))
        lines = await lines_of(subject, again.provider_reference)
        assert sums(lines, again)
        [back] = [line for line in lines if line.category is C.PAYOUT_FAILURE]
        assert (back.net, back.source_reference) == (failed.amount, reference)
        assert back.provider_reference == failed.failure_reference
        assert await lines_of(subject, reference) == before

    async def test_a_payout_by_hand_tells_no_lines(self, subject: Subject) -> None:
        reference = (await take(subject, currency=Currency("pln")))[1]
        by_hand = await payout(subject, await subject.pays_out(Currency("pln"), "by_hand"))
        assert (by_hand.automatic, by_hand.itemised, by_hand.lines_complete) == (False,) * 3
        with pytest.raises(ProviderSilent):
            await lines_of(subject, by_hand.provider_reference)
        on_balance = await balance(subject, by_hand)
        [line] = of_payment(on_balance, reference)
        assert (line.gross, line.payout_reference) == (1999, None)
        [own] = [each for each in on_balance if each.category is C.PAYOUT]
        assert (own.net, own.source_reference) == (-by_hand.amount, by_hand.provider_reference)

    async def test_the_payouts_of_a_window_are_listed(self, subject: Subject) -> None:
        await take(subject, currency=Currency("czk"), amount=199_900)
        paid = await payout(subject, await subject.pays_out(Currency("czk"), "told"))
        window = timedelta(seconds=1)
        for moved, listed in ((timedelta(0), True), (timedelta(days=400), False)):
            since = paid.created_at + moved - window
            found = subject.provider.list_payouts_created(
                since, since + 2 * window, timeout_seconds=PATIENCE
            )
            told = [each async for each in found]
            shown = [each.provider_reference for each in told if isinstance(each, Payout)]
            assert (paid.provider_reference in shown) is listed
            assert len(set(shown)) == len(told)

    async def test_the_news_of_a_payout_names_it(self, subject: Subject) -> None:
        await take(subject, currency=Currency("huf"), amount=199_900)
        reference = await subject.pays_out(Currency("huf"), "told")
        body, headers = await subject.payout_delivery(reference)
        subject.provider.verify_event(body, headers, datetime.now(UTC))
        notice = subject.provider.read_event(body)
        assert (notice.payout, notice.handled, notice.answer) == (reference, True, None)
        assert notice.type in subject.provider.acts_upon

    async def test_what_the_payer_paid_in_another_currency(self, subject: Subject) -> None:
        usd, gbp = Currency("usd"), Currency("gbp")
        await subject.converts(usd, gbp, "0.79341")
        try:
            order, reference = await take(subject, amount=10_000, currency=usd)
            await refund(subject, to_refund(reference, 3_000, "usd"))
            found = await subject.provider.line_of_payment(reference, timeout_seconds=PATIENCE)
            paid = await payout(subject, await subject.pays_out(gbp, "told"))
        finally:
            await subject.books_as_ever()
        lines = await lines_of(subject, paid.provider_reference)
        assert sums(lines, paid)
        charged, returned = sorted(of_payment(lines, reference), key=lambda line: -line.gross)
        assert (charged.gross, charged.currency, charged.exchange_rate) == (7_934, gbp, "0.79341")
        assert (charged.customer_amount, charged.customer_currency) == (order.amount, usd)
        assert (returned.gross, returned.customer_amount) == (-2_380, -3_000)
        assert isinstance(found, Line)
        assert (found.gross, found.customer_amount) == (7_934, 10_000)

    @pytest.mark.parametrize("currency", ["aud", "jpy"])
    async def test_a_part_of_a_hold_in_one_line_and_in_two(
        self, subject: Subject, currency: str
    ) -> None:
        """Kept in the payer's currency and in another; both come to what was taken."""
        cad, theirs = Currency("cad"), Currency(currency)
        if currency == "jpy":
            await subject.converts(theirs, cad, "0.0093")
        try:
            one = await part_of_a_hold(subject, 20_000, 12_000, theirs)
            await subject.books_in_two()
            two = await part_of_a_hold(subject, 20_000, 12_000, theirs)
            kept = cad if currency == "jpy" else theirs
            paid = await payout(subject, await subject.pays_out(kept, "told"))
        finally:
            await subject.books_as_ever()
        lines = await lines_of(subject, paid.provider_reference)
        assert sums(lines, paid)
        [single] = of_payment(lines, one)
        assert (single.category, single.customer_amount) == (C.CHARGE, 12_000)
        whole, rest = sorted(of_payment(lines, two), key=lambda line: -line.gross)
        assert (whole.category, rest.category) == (C.CHARGE, C.PARTIAL_CAPTURE_REVERSAL)
        assert (whole.customer_amount, rest.customer_amount) == (20_000, -8_000)
        assert whole.gross + rest.gross == single.gross
        assert {line.customer_currency for line in (single, whole, rest)} == {currency}

    async def test_a_dispute_on_the_balance(self, subject: Subject) -> None:
        reference = await pay(
            subject, instrument=CardToken(subject.token_disputed), currency=Currency("nzd")
        )
        said, _ = await dispute_of(subject, reference)
        await take(subject, currency=Currency("nzd"), amount=900_000)
        paid = await payout(subject, await subject.pays_out(Currency("nzd"), "told"))
        [taken] = [each for each in await balance(subject, paid) if each.category is C.DISPUTE]
        assert (taken.gross, taken.payment_reference) == (-1999, reference)
        assert (taken.source_reference, taken.attempt) == (said.provider_reference, said.attempt)
        assert taken.attempt is not None

    async def test_the_line_of_a_payment_and_of_a_refund(self, subject: Subject) -> None:
        order, reference = await take(subject)
        refunded = await refund(subject, to_refund(reference, 300))
        assert refunded.provider_reference is not None
        line = await subject.provider.line_of_payment(reference, timeout_seconds=PATIENCE)
        assert isinstance(line, Line)
        assert (line.category, line.gross, line.attempt) == (C.CHARGE, 1999, order.attempt)
        back = await subject.provider.line_of_refund(
            refunded.provider_reference, timeout_seconds=PATIENCE
        )
        assert isinstance(back, Line)
        assert (back.category, back.gross) == (C.REFUND, -300)
        paid = await subject.pays_out(Currency("eur"), "told")
        told = {each.provider_reference: each for each in await lines_of(subject, paid)}
        for found in (line, back):
            listed = told[found.provider_reference]
            assert (listed.source_reference, listed.net) == (found.source_reference, found.net)
            assert (listed.payment_reference, listed.attempt) == (reference, found.attempt)
            alone = await subject.provider.retrieve_line(
                found.provider_reference, timeout_seconds=PATIENCE
            )
            assert alone == replace(listed, payout_reference=None)

    async def test_what_moved_no_money_has_no_line(self, subject: Subject) -> None:
        held = (await take(subject, capture_method=CaptureMethod.MANUAL))[1]
        for reference in (held, subject.absent_reference):
            found = await subject.provider.line_of_payment(reference, timeout_seconds=PATIENCE)
            assert found == Absent()
        absent = await subject.provider.line_of_refund("re_absent", timeout_seconds=PATIENCE)
        assert absent == Absent()
        no_line = await subject.provider.retrieve_line("txn_absent", timeout_seconds=PATIENCE)
        assert no_line == Absent()
        gone = await subject.provider.retrieve_payout("po_absent", timeout_seconds=PATIENCE)
        assert gone == Absent()

    async def test_silence_is_never_absence(self, subject: Subject) -> None:
        """Neither a refused key nor an answer that is lost, however often."""
        reference = (await take(subject, currency=Currency("hkd")))[1]
        paid = await subject.pays_out(Currency("hkd"), "told")
        await self._told_nothing(subject.unauthorised, reference, paid)
        await subject.fault("look_up", "reply_lost", 100)
        await subject.fault("list", "error_before", 100)
        await self._told_nothing(subject.provider, reference, paid)
        await subject.calm()
        await subject.fault("look_up", "reply_lost", 1)
        await subject.fault("list", "reply_lost", 1)
        assert sums(await lines_of(subject, paid), await payout(subject, paid))

    async def _told_nothing(self, provider: Provider, payment: str, paid: str) -> None:
        for asked in (
            provider.retrieve_payout(paid, timeout_seconds=PATIENCE),
            provider.line_of_payment(payment, timeout_seconds=PATIENCE),
            provider.retrieve_line("txn_any", timeout_seconds=PATIENCE),
        ):
            assert isinstance(await asked, Unknown)
        with pytest.raises(ProviderSilent):
            await read(provider.list_payout_lines(paid, timeout_seconds=PATIENCE))
