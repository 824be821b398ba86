"""What the port promises of banks: payers made known, money that they push, money that is debited.

The provider's clock may be ahead of ours after `banks_answer`, so nothing here compares the two.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    BankTransfer,
    Cancelled,
    Declined,
    NotSent,
    Pending,
    Rejected,
    TransferInstructions,
    Unknown,
)
from paygate.domain.payments.payment_method import CardToken, DirectDebit, Mandate, PushTransfer
from paygate.providers.absence import Absent
from paygate.providers.contract import (
    ConfirmOrder,
    CustomerMade,
    CustomerOrder,
    KeySpent,
    MoneyLeft,
)
from tests.making import new_id
from tests.providers.conformance import PATIENCE, Subject, confirm, look_up, make_order, retrieve
from tests.providers.conformance_holds import cancel, to_cancel

FAR = timedelta(days=2)
"""A window that holds whatever the provider's clock says."""
MANDATE = Mandate(datetime(2026, 11, 24, 3, 42, tzinfo=UTC), "203.0.113.7", "Browser/1")
REASONS = {
    "account_closed",
    "account_restricted",
    "debit_failed",
    "debit_not_authorized",
    "insufficient_funds",
    "mandate_invalid",
    "no_account",
}
"""The codes of a debit that failed."""
RAILS = [
    ("eur", "DE", "iban", {"iban", "bic"}, 1999, 1999),
    ("eur", "IE", "iban", {"iban", "bic"}, 1999, 1999),
    ("gbp", None, "sort_code", {"sort_code", "account_number"}, 1999, 1999),
    ("usd", None, "aba", {"routing_number", "account_number"}, 1999, 1999),
    ("jpy", None, "zengin", {"bank_code", "branch_code", "account_number"}, 500, 500),
    ("mxn", None, "spei", {"clabe"}, 1999, 1999),
]


def a_customer(**changes: Any) -> CustomerOrder:
    given = {"customer": new_id("customer"), "merchant": "default", "email": "ada@shop.example"}
    given["key"] = f"{changes.get('customer', given['customer'])}-1"
    return CustomerOrder(**given | changes)


async def make_customer(subject: Subject, order: CustomerOrder) -> Any:
    return await subject.provider.make_customer(order, timeout_seconds=PATIENCE)


async def known(subject: Subject) -> str:
    made = await make_customer(subject, a_customer(name="Ada"))
    assert isinstance(made, CustomerMade)
    return made.provider_reference


async def push(subject: Subject, **changes: Any) -> tuple[ConfirmOrder, Answer]:
    """A transfer asked for, of 19.99 EUR to a German account unless told otherwise."""
    given = {
        "instrument": PushTransfer("DE"),
        "customer": await known(subject),
        "return_url": None,
    }
    order = make_order(subject, **given | changes)
    return order, await confirm(subject, order)


async def debit(
    subject: Subject, account: Any = "good", currency: str = "eur", **changes: Any
) -> ConfirmOrder:
    token = await subject.account(account, Currency(currency))
    given = {
        "instrument": DirectDebit(token, MANDATE),
        "currency": Currency(currency),
        "return_url": None,
    }
    return make_order(subject, **given | changes)


def instructions(answer: Answer) -> TransferInstructions:
    assert isinstance(answer.outcome, ActionRequired)
    transfer = answer.outcome.next_action
    assert isinstance(transfer, TransferInstructions)
    return transfer


class CustomerConformance:
    async def test_a_customer_is_made_once(self, subject: Subject) -> None:
        order = a_customer(name="Ada")
        first, second = await make_customer(subject, order), await make_customer(subject, order)
        assert isinstance(first, CustomerMade)
        assert first == second
        assert await subject.customers(order.customer) == 1
        assert await make_customer(subject, a_customer(email=None)) != first

    async def test_a_customer_made_at_once_is_one(self, subject: Subject) -> None:
        order = a_customer()
        made = await asyncio.gather(*(make_customer(subject, order) for _ in range(4)))
        assert {type(each) for each in made} <= {CustomerMade, Unknown}
        assert await subject.customers(order.customer) == 1

    @pytest.mark.parametrize("fault", ["reply_lost", "error_before", "hang"])
    async def test_silence_is_unknown_and_a_second_send_learns_it(
        self, subject: Subject, fault: Any
    ) -> None:
        order = a_customer()
        await subject.fault("customer", fault, 1)
        patience = 0.5 if fault == "hang" else PATIENCE
        made = await subject.provider.make_customer(order, timeout_seconds=patience)
        assert isinstance(made, Unknown)
        for _ in range(20):  # a call that hangs keeps its key in use
            made = await make_customer(subject, order)
            if not isinstance(made, NotSent | Unknown):
                break
        assert isinstance(made, CustomerMade)
        assert await subject.customers(order.customer) == 1

    async def test_a_rate_limit_is_certain(self, subject: Subject) -> None:
        order = a_customer()
        await subject.fault("customer", "rate_limited", 100)
        assert isinstance(await make_customer(subject, order), NotSent)
        assert await subject.customers(order.customer) == 0

    async def test_a_key_with_a_fault_or_another_order_is_spent(self, subject: Subject) -> None:
        order = a_customer()
        await make_customer(subject, order)
        other = msgspec.structs.replace(order, email="bo@shop.example")
        assert isinstance(await make_customer(subject, other), KeySpent)
        broken = a_customer()
        await subject.fault("customer", "error_after", 1)
        assert isinstance(await make_customer(subject, broken), Unknown)
        assert isinstance(await make_customer(subject, broken), KeySpent)
        anew = msgspec.structs.replace(broken, key=f"{broken.key}-2")
        assert isinstance(await make_customer(subject, anew), CustomerMade)

    async def test_a_customers_details_are_changed(self, subject: Subject) -> None:
        order = a_customer(name="Ada")
        made = await make_customer(subject, order)
        assert isinstance(made, CustomerMade)
        change = msgspec.structs.replace(order, key=f"{order.key}-2", email="new@shop.example")
        for _ in range(2):
            changed = await subject.provider.change_customer(
                made.provider_reference, change, timeout_seconds=PATIENCE
            )
            assert changed == made
        assert await subject.details(made.provider_reference) == ("new@shop.example", "Ada")
        other = msgspec.structs.replace(change, name="Bo")
        changed = await subject.provider.change_customer(
            made.provider_reference, other, timeout_seconds=PATIENCE
        )
        assert isinstance(changed, KeySpent)
        assert await subject.customers(order.customer) == 1

    async def test_a_customer_who_was_deleted_there_is_absent(self, subject: Subject) -> None:
        order = a_customer()
        made = await make_customer(subject, order)
        assert isinstance(made, CustomerMade)
        await subject.delete_customer(made.provider_reference)
        change = msgspec.structs.replace(order, key=f"{order.key}-2", name="Ada")
        changed = await subject.provider.change_customer(
            made.provider_reference, change, timeout_seconds=PATIENCE
        )
        assert changed == Absent()

    async def test_a_key_that_is_refused_is_our_configuration(self, subject: Subject) -> None:
        made = await subject.unauthorised.make_customer(a_customer(), timeout_seconds=PATIENCE)
        assert isinstance(made, Rejected)
        assert made.reason == "provider_configuration"


class TransferConformance:
    @pytest.mark.parametrize(("currency", "country", "scheme", "names", "amount", "units"), RAILS)
    async def test_the_payer_is_told_where_to_send_money(
        self,
        subject: Subject,
        currency: str,
        country: str | None,
        scheme: str,
        names: set[str],
        amount: int,
        units: int,
    ) -> None:
        money = Currency(currency)
        assert subject.provider.transfer_problem(money, country) is None
        order, answer = await push(
            subject, amount=amount, currency=money, instrument=PushTransfer(country)
        )
        transfer = instructions(answer)
        assert (transfer.amount_remaining, transfer.amount_received) == (amount, 0)
        assert transfer.currency == currency
        assert transfer.reference
        assert transfer.hosted_url
        [account] = transfer.accounts
        assert account.scheme == scheme
        assert account.holder
        assert account.numbers.keys() >= names
        assert all(account.numbers.values())
        assert account.country == country or country is None
        assert isinstance(answer.outcome, ActionRequired)
        assert answer.outcome.payment_method == BankTransfer("push", country)
        assert (await retrieve(subject, answer.provider_reference)).outcome == answer.outcome
        await subject.transfer(str(order.customer), units, money)
        paid = (await retrieve(subject, answer.provider_reference)).outcome
        assert paid == Approved(True, amount, 0, BankTransfer("push", country))

    def test_what_cannot_be_transferred_is_known_before(self, subject: Subject) -> None:
        for currency, country in [("chf", None), ("eur", None), ("eur", "CH"), ("eur", "xx")]:
            problem = subject.provider.transfer_problem(Currency(currency), country)
            assert problem
            assert currency in problem

    async def test_money_in_parts_counts_as_it_comes(self, subject: Subject) -> None:
        order, answer = await push(subject)
        await subject.transfer(str(order.customer), 500, order.currency)
        partly = instructions(await retrieve(subject, answer.provider_reference))
        assert (partly.amount_remaining, partly.amount_received) == (1499, 500)
        assert partly.reference == instructions(answer).reference
        assert await subject.taken(order.attempt) == 0
        await subject.transfer(str(order.customer), 1600, order.currency)
        paid = (await retrieve(subject, answer.provider_reference)).outcome
        assert isinstance(paid, Approved)
        assert paid.amount_received == 1999, "what is too much stays with the payer"
        assert await subject.taken(order.attempt) == 1999

    async def test_the_deliveries_tell_of_every_part(self, subject: Subject) -> None:
        order, answer = await push(subject)
        for part in (500, 600, 899):
            await subject.transfer(str(order.customer), part, order.currency)
        answers = [
            notice.answer
            for body, _ in await subject.delivered(str(answer.provider_reference))
            if (notice := subject.provider.read_event(body)).answer is not None
        ]
        assert {said.provider_reference for said in answers} == {answer.provider_reference}
        # Some tell of the payment by its reference alone, and are looked up.
        answers = [said for said in answers if not isinstance(said.outcome, Unknown)]
        assert {said.attempt for said in answers} == {order.attempt}
        remaining = {
            instructions(said).amount_remaining
            for said in answers
            if isinstance(said.outcome, ActionRequired)
        }
        assert remaining == {1999, 1499, 899}
        assert any(isinstance(said.outcome, Approved) for said in answers)

    async def test_money_that_lies_there_already_pays_at_once(self, subject: Subject) -> None:
        customer = await known(subject)
        await subject.transfer(customer, 5000, Currency("eur"))
        order, answer = await push(subject, customer=customer)
        assert answer.outcome == Approved(True, 1999, 0, BankTransfer("push", "DE"))
        assert await subject.taken(order.attempt) == 1999

    async def test_a_lost_reply_is_unknown_and_both_ways_learn_it(self, subject: Subject) -> None:
        await known(subject)
        await subject.fault("confirm", "reply_lost", 1)
        order, answer = await push(subject)
        assert isinstance(answer.outcome, Unknown)
        found = await look_up(subject, order, FAR)
        assert found is not None
        again = await confirm(subject, order)
        assert instructions(again) == instructions(found)
        assert again.provider_reference == found.provider_reference

    @pytest.mark.parametrize("part", [0, 500])
    async def test_a_cancel_ends_it_whatever_came(self, subject: Subject, part: int) -> None:
        order, answer = await push(subject)
        reference = str(answer.provider_reference)
        if part:
            await subject.transfer(str(order.customer), part, order.currency)
        assert isinstance((await cancel(subject, to_cancel(reference))).outcome, Cancelled)
        await subject.transfer(str(order.customer), 1999, order.currency)
        assert isinstance((await retrieve(subject, reference)).outcome, Cancelled)
        assert await subject.taken(order.attempt) == 0

    async def test_a_cancel_after_the_money_came_learns_of_it(self, subject: Subject) -> None:
        order, answer = await push(subject)
        await subject.transfer(str(order.customer), 1999, order.currency)
        found = await cancel(subject, to_cancel(str(answer.provider_reference)))
        assert isinstance(found.outcome, Approved)
        assert found.outcome.amount_received == 1999

    async def test_money_that_pays_for_nothing_is_told(self, subject: Subject) -> None:
        ours = a_customer()
        made = await make_customer(subject, ours)
        assert isinstance(made, CustomerMade)
        theirs = made.provider_reference
        order, answer = await push(subject, customer=theirs)
        assert (await left_with(subject, theirs)).amounts == {}
        await subject.transfer(theirs, 2500, order.currency)
        body, headers = await subject.money_left_delivery(theirs)
        subject.provider.verify_event(body, headers, datetime.now(UTC))
        notice = subject.provider.read_event(body)
        assert (notice.money_left_with, notice.answer, notice.livemode) == (theirs, None, False)
        left = await left_with(subject, theirs)
        assert left.amounts == {"eur": 501}
        assert (left.customer, left.merchant) == (ours.customer, ours.merchant)
        assert left.installation == answer.installation

    async def test_a_customer_that_is_not_there(self, subject: Subject) -> None:
        for nobody in (subject.absent_reference, "../customers"):
            found = await subject.provider.money_left(nobody, timeout_seconds=PATIENCE)
            assert isinstance(found, Absent)
        theirs = await known(subject)
        found = await subject.unauthorised.money_left(theirs, timeout_seconds=PATIENCE)
        assert isinstance(found, Unknown)


async def left_with(subject: Subject, customer_reference: str) -> MoneyLeft:
    found = await subject.provider.money_left(customer_reference, timeout_seconds=PATIENCE)
    assert isinstance(found, MoneyLeft)
    return found


class DebitConformance:
    @pytest.mark.parametrize("currency", ["eur", "usd"])
    async def test_a_debit_is_pending_and_then_approved(
        self, subject: Subject, currency: str
    ) -> None:
        assert subject.provider.debit_problem(Currency(currency)) is None
        order = await debit(subject, currency=currency)
        answer = await confirm(subject, order)
        assert isinstance(answer.outcome, Pending)
        method = answer.outcome.payment_method
        assert isinstance(method, BankTransfer)
        assert method.flow == "debit"
        assert method.last4
        assert (answer.attempt, answer.amount) == (order.attempt, order.amount)
        assert (await retrieve(subject, answer.provider_reference)).outcome == answer.outcome
        assert await subject.taken(order.attempt) == 0
        await subject.banks_answer()
        paid = (await retrieve(subject, answer.provider_reference)).outcome
        assert paid == Approved(True, 1999, 0, method)
        assert await subject.taken(order.attempt) == 1999

    @pytest.mark.parametrize("currency", ["eur", "usd"])
    async def test_a_debit_is_pending_and_then_declined(
        self, subject: Subject, currency: str
    ) -> None:
        order = await debit(subject, "failing", currency)
        answer = await confirm(subject, order)
        assert isinstance(answer.outcome, Pending)
        await subject.banks_answer()
        found = (await retrieve(subject, answer.provider_reference)).outcome
        assert isinstance(found, Declined)
        assert found.error.code in REASONS
        assert "card" not in found.error.message
        assert await subject.taken(order.attempt) == 0

    async def test_what_cannot_be_debited_is_known_before(self, subject: Subject) -> None:
        problem = subject.provider.debit_problem(Currency("chf"))
        assert problem
        assert "chf" in problem

    async def test_an_account_that_is_not_usable(self, subject: Subject) -> None:
        unusable = DirectDebit(await subject.account("unusable", Currency("eur")), MANDATE)
        for instrument in (unusable, DirectDebit(subject.token_approved, MANDATE)):
            order = make_order(subject, instrument=instrument, return_url=None)
            answer = await confirm(subject, order)
            assert isinstance(answer.outcome, Rejected)
            assert answer.outcome.reason == "payment_method_rejected"
            assert instrument.token not in repr(answer)
            assert await subject.charged(order.attempt) == 0

    async def test_an_account_does_not_pay_for_a_card(self, subject: Subject) -> None:
        token = await subject.account("good", Currency("eur"))
        answer = await confirm(subject, make_order(subject, instrument=CardToken(token)))
        assert isinstance(answer.outcome, Rejected)
        assert answer.outcome.reason == "payment_method_rejected"

    async def test_a_lost_reply_is_unknown_and_both_ways_learn_it(self, subject: Subject) -> None:
        order = await debit(subject)
        await subject.fault("confirm", "reply_lost", 1)
        assert isinstance((await confirm(subject, order)).outcome, Unknown)
        found = await look_up(subject, order, FAR)
        assert found is not None
        assert isinstance(found.outcome, Pending)
        again = await confirm(subject, order)
        assert again.provider_reference == found.provider_reference

    async def test_a_rate_limit_is_certain(self, subject: Subject) -> None:
        order = await debit(subject)
        await subject.fault("confirm", "rate_limited", 100)
        assert isinstance((await confirm(subject, order)).outcome, NotSent)
        assert await look_up(subject, order, FAR) is None

    async def test_a_cancel_cannot_stop_a_bank_and_tells_the_truth_each_time(
        self, subject: Subject
    ) -> None:
        """Also under the same key: the refusal given again shows the payment as it was."""
        answer = await confirm(subject, await debit(subject))
        order = to_cancel(str(answer.provider_reference))
        for _ in range(2):
            found = await cancel(subject, order)
            assert isinstance(found.outcome, Pending | Cancelled)
        await subject.banks_answer()
        after = await cancel(subject, order)
        standing = await retrieve(subject, order.provider_reference)
        assert msgspec.structs.replace(after, as_of=None) == msgspec.structs.replace(
            standing, as_of=None
        )
