"""What the port promises of payment methods that are looked up before anything is paid."""

import asyncio

import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import BankTransfer, Card, NotSent, Rejected, Unknown
from paygate.domain.payments.payment_method import CardToken, DirectDebit, Mandate, Tokened
from paygate.providers.contract import Provider
from tests.making import START
from tests.providers.conformance import (
    PATIENCE,
    Fault,
    Subject,
    confirm,
    make_order,
)

EUR, USD = Currency("eur"), Currency("usd")
MANDATE = Mandate(START, "192.0.2.1", "Browser/1")


async def shown(
    provider: Provider, instrument: Tokened, currency: Currency = EUR, seconds: float = PATIENCE
) -> object:
    return await provider.payment_method(instrument, currency, timeout_seconds=seconds)


def rejected(found: object, reason: str = "payment_method_rejected") -> None:
    assert isinstance(found, Rejected), found
    assert found.reason == reason


class MethodConformance:
    async def test_a_card_is_shown_as_a_payment_shows_it(self, subject: Subject) -> None:
        found = await shown(subject.provider, CardToken(subject.token_approved))
        assert isinstance(found, Card)
        assert (found.brand, found.last4) == subject.card
        assert found.exp_month is not None
        assert found.exp_year is not None
        order = make_order(subject, instrument=CardToken(subject.token_approved))
        assert getattr((await confirm(subject, order)).outcome, "payment_method", None) == found

    async def test_looking_at_a_card_charges_nobody_and_uses_nothing_up(
        self, subject: Subject
    ) -> None:
        order = make_order(subject)
        for _ in range(2):
            await shown(subject.provider, CardToken(subject.token_approved))
        assert await subject.charged(order.attempt) == 0
        await confirm(subject, order)
        assert await subject.charged(order.attempt) == 1

    async def test_a_card_whose_bank_will_say_no_is_shown_too(self, subject: Subject) -> None:
        assert isinstance(await shown(subject.provider, CardToken(subject.token_declined)), Card)

    @pytest.mark.parametrize("token", ["", "../customers", "x" * 256, "tok?expand=1"])
    async def test_what_is_no_token_is_rejected(self, subject: Subject, token: str) -> None:
        rejected(await shown(subject.provider, CardToken(token)))

    async def test_a_dead_token_is_rejected_and_not_repeated(self, subject: Subject) -> None:
        found = await shown(subject.provider, CardToken(subject.token_unusable))
        rejected(found)
        assert subject.token_unusable not in repr(found)

    @pytest.mark.parametrize("currency", [EUR, USD])
    async def test_an_account_is_shown(self, subject: Subject, currency: Currency) -> None:
        token = await subject.account("good", currency)
        found = await shown(subject.provider, DirectDebit(token, MANDATE), currency)
        assert isinstance(found, BankTransfer)
        assert found.flow == "debit"
        assert found.last4

    async def test_a_token_of_another_kind_is_rejected(self, subject: Subject) -> None:
        account = await subject.account("good", EUR)
        rejected(await shown(subject.provider, CardToken(account)))
        rejected(await shown(subject.provider, DirectDebit(account, MANDATE), USD))
        rejected(await shown(subject.provider, DirectDebit(subject.token_approved, MANDATE)))

    @pytest.mark.parametrize("fault", ["reply_lost", "error_before"])
    async def test_silence_is_asked_through_and_then_unknown(
        self, subject: Subject, fault: Fault
    ) -> None:
        """A look-up does nothing, so it may be repeated."""
        card = CardToken(subject.token_approved)
        await subject.fault("look_up", fault, 1)
        assert isinstance(await shown(subject.provider, card), Card)
        await subject.fault("look_up", fault, 100)
        assert isinstance(await shown(subject.provider, card), Unknown)

    async def test_a_rate_limit_is_waited_out_and_then_certain(self, subject: Subject) -> None:
        card = CardToken(subject.token_approved)
        await subject.fault("look_up", "rate_limited", 1)
        assert isinstance(await shown(subject.provider, card), Card)
        await subject.fault("look_up", "rate_limited", 100)
        assert isinstance(await shown(subject.provider, card), NotSent)

    async def test_a_hang_ends_at_the_deadline(self, subject: Subject) -> None:
        await subject.fault("look_up", "hang", 100)
        loop = asyncio.get_running_loop()
        started = loop.time()
        card = CardToken(subject.token_approved)
        assert isinstance(await shown(subject.provider, card, seconds=0.5), Unknown)
        assert loop.time() - started < PATIENCE

    async def test_a_key_that_is_refused_says_nothing_of_the_token(self, subject: Subject) -> None:
        found = await shown(subject.unauthorised, CardToken(subject.token_approved))
        rejected(found, "provider_configuration")
