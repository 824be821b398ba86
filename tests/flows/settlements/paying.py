"""A provider that pays out, as far as a test says: payouts, their lines, and lines in no payout."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.settlements.outcome import Line, LineCategory, Payout, PayoutStatus
from paygate.providers.absence import Absent, ProviderSilent
from tests.flows.world import APPROVED, INSTALLATION, ScriptedProvider, World
from tests.making import START

PO = "po_1"
C = LineCategory


class PayingProvider(ScriptedProvider):
    """Shows what it was given, and is silent where a test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.payouts: dict[str, Payout] = {}
        self.lines: dict[str, list[Line | Unknown]] = {}
        """By the payout."""
        self.balance: list[Line] = []
        """Lines in no payout."""
        self.breaks_after: int | None = None
        """So many lines of a list are shown, and then the provider is silent."""
        self.amid_lines: Callable[[], Awaitable[None]] | None = None
        """What happens before each line that is shown."""
        self.asked_lines: list[str] = []
        self.payouts_silent = False
        """Whether single payouts are told."""
        self.lines_silent = False
        """Whether single lines are told."""

    async def retrieve_payout(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> Payout | Absent | Unknown:
        if self.payouts_silent:
            return Unknown("not told")
        return self.payouts.get(provider_reference, Absent())

    async def list_payouts_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Payout | Unknown]:
        for payout in list(self.payouts.values()):
            if since <= payout.created_at <= until:
                yield payout

    async def list_payout_lines(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        for number, line in enumerate(list(self.lines.get(provider_reference, []))):
            if self.breaks_after is not None and number >= self.breaks_after:
                raise ProviderSilent
            if self.amid_lines is not None:
                await self.amid_lines()
            yield line

    async def list_lines_created(
        self, currency: Currency, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Line | Unknown]:
        for line in [*self.balance, *(each for some in self.lines.values() for each in some)]:
            if isinstance(line, Line) and line.currency == currency:
                yield line

    async def line_of_payment(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        self.asked_lines.append(payment_reference)
        if self.lines_silent:
            return Unknown("not told")
        found = (line for line in self.balance if line.payment_reference == payment_reference)
        return next(found, Absent())

    async def line_of_refund(
        self, refund_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        self.asked_lines.append(refund_reference)
        if self.lines_silent:
            return Unknown("not told")
        found = (line for line in self.balance if line.source_reference == refund_reference)
        return next(found, Absent())

    async def retrieve_line(
        self, line_reference: str, *, timeout_seconds: float
    ) -> Line | Absent | Unknown:
        self.asked_lines.append(line_reference)
        if self.lines_silent:
            return Unknown("not told")
        found = (line for line in self.balance if line.provider_reference == line_reference)
        return next(found, Absent())


def payout(amount: int, reference: str = PO, **more: Any) -> Payout:
    """A payout that is paid, and whose lines are all there."""
    known: dict[str, Any] = {
        "currency": "eur",
        "status": PayoutStatus.PAID,
        "automatic": True,
        "itemised": True,
        "lines_complete": True,
        "arrival_date": date(2026, 1, 5),
        "created_at": START,
        "livemode": False,
        "as_of": START,
    }
    return Payout(provider_reference=reference, amount=amount, **(known | more))


def line(reference: str, gross: int, category: LineCategory = C.CHARGE, **more: Any) -> Line:
    """A line of a fee, unless it is told."""
    fee = more.pop("fee", 0)
    known: dict[str, Any] = {
        "provider_category": str(category),
        "currency": "eur",
        "available_on": START.date() + timedelta(days=2),
        "created_at": START,
        "customer_amount": gross,
        "customer_currency": "eur",
    }
    return Line(
        provider_reference=reference,
        category=category,
        gross=gross,
        fee=fee,
        net=gross - fee,
        **(known | more),
    )


def charged(intent: PaymentIntent, fee: int = 59, **more: Any) -> Line:
    """The line of a payment, as it was taken."""
    known: dict[str, Any] = {
        "payment_reference": intent.provider_reference,
        "source_reference": f"ch_{intent.provider_reference}",
        "installation": INSTALLATION,
        "merchant": intent.merchant,
        "attempt": intent.attempt,
        "intent": intent.id,
    }
    gross = more.pop("gross", intent.amount_received)
    reference = more.pop("reference", f"txn_{intent.provider_reference}")
    return line(reference, gross, fee=fee, **(known | more))


def pays(world: World, reference: str, *lines: Line, **more: Any) -> Payout:
    """Have the provider pay out these lines, with the payout's own row, to the cent."""
    provider = paying(world)
    amount = more.pop("amount", sum(each.net for each in lines))
    own = line(
        f"txn_{reference}", -amount, C.PAYOUT, source_reference=reference, customer_amount=None
    )
    provider.lines[reference] = [*lines, own]
    provider.payouts[reference] = payout(amount, reference, **more)
    return provider.payouts[reference]


def paying(world: World) -> PayingProvider:
    """The world's provider, as one that pays out."""
    assert isinstance(world.provider, PayingProvider)
    return world.provider


async def paid(world: World) -> PaymentIntent:
    """A payment that was taken."""
    intent, _ = await world.confirming(APPROVED)
    return intent


def changed(world: World, reference: str, **changes: Any) -> None:
    """Have a payout stand otherwise."""
    provider = paying(world)
    provider.payouts[reference] = replace(provider.payouts[reference], **changes)
