"""A provider that keeps books of its own, and does once what an attempt asks.

It never sees our database, so it can judge what we say of it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from paygate.domain.money import Currency
from paygate.domain.payments.attempt import AttemptState, state_of
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    Card,
    Declined,
    NotSent,
    Outcome,
    PaymentError,
    PaymentMethod,
    Pending,
    RedirectToUrl,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import Status
from paygate.domain.payments.payment_method import Tokened
from paygate.providers.absence import Absent
from paygate.providers.contract import (
    CancelOrder,
    CaptureOrder,
    ClockSkew,
    ConfirmOrder,
    CustomerMade,
    CustomerOrder,
    MaskedBody,
    MoneyLeft,
    Notice,
)
from tests.flows.world import IN_STEP, INSTALLATION, Clock

CARD: Final = Card("visa", "4242", 4, 2030)


class Will(StrEnum):
    """What the provider does with the next order that it does not know yet."""

    APPROVE = "approve"
    HOLD = "hold"
    DECLINE = "decline"
    ASK_PAYER = "ask_payer"
    STAY_PENDING = "stay_pending"
    REJECT = "reject"
    NOT_SENT = "not_sent"
    LOSE_ORDER = "lose_order"
    """A timeout, and it never heard of it."""
    LOSE_REPLY = "lose_reply"
    """A timeout, and it charged."""
    CUT_BEFORE = "cut_before"
    """Our request dies in the call, and the provider never heard of it."""
    CUT_AFTER = "cut_after"
    """Our request dies in the call, and the provider charged."""


NOT_HEARD: Final = frozenset({Will.NOT_SENT, Will.LOSE_ORDER, Will.CUT_BEFORE})
CUT: Final = frozenset({Will.CUT_BEFORE, Will.CUT_AFTER})

_APPROVED: Final = Approved(
    captured=True, amount_received=1999, amount_capturable=0, payment_method=CARD
)
OUTCOMES: Final[Mapping[Will, Outcome]] = {
    Will.APPROVE: _APPROVED,
    Will.LOSE_REPLY: _APPROVED,
    Will.CUT_AFTER: _APPROVED,
    Will.HOLD: Approved(
        captured=False, amount_received=0, amount_capturable=1999, payment_method=CARD
    ),
    Will.DECLINE: Declined(PaymentError("card_declined", "no")),
    Will.ASK_PAYER: ActionRequired(RedirectToUrl("https://provider.example/3ds")),
    Will.STAY_PENDING: Pending(),
    Will.REJECT: Rejected("payment_method_rejected", "no such token"),
}
LATER: Final[tuple[Outcome, ...]] = (
    _APPROVED,
    Declined(PaymentError("authentication_failed", "no")),
    Cancelled("abandoned"),
)
"""What becomes of what waits for the payer or the bank."""


_STATUSES: Final = {
    AttemptState.DECLINED: Status.FAILED,
    AttemptState.REJECTED: Status.FAILED,
    AttemptState.CANCELLED: Status.CANCELLED,
    AttemptState.ACTION_REQUIRED: Status.REQUIRES_ACTION,
    AttemptState.PENDING: Status.PROCESSING,
}


@dataclass
class Payment:
    """One payment at the provider: everything that it was, with the provider's times."""

    order: ConfirmOrder
    reference: str
    made_at: datetime
    facts: list[tuple[Outcome, datetime]]

    @property
    def outcome(self) -> Outcome:
        return self.facts[-1][0]

    @property
    def status(self) -> Status:
        """What an intent becomes by it."""
        if isinstance(self.outcome, Approved):
            return Status.SUCCEEDED if self.outcome.captured else Status.REQUIRES_CAPTURE
        return _STATUSES[state_of(self.outcome)]

    @property
    def charged(self) -> bool:
        """Whether the payer's money is taken or held."""
        return isinstance(self.outcome, Approved)

    @property
    def waits(self) -> bool:
        return isinstance(self.outcome, ActionRequired | Pending)

    @property
    def closable(self) -> bool:
        """Whether a cancel would close it: no money is taken."""
        return self.waits or self.held or isinstance(self.outcome, Cancelled)

    @property
    def held(self) -> bool:
        return isinstance(self.outcome, Approved) and not self.outcome.captured

    def answer(self, fact: int = -1, as_of: datetime | None = None) -> Answer:
        outcome, at = self.facts[fact]
        order = self.order
        return Answer(
            outcome,
            provider_reference=self.reference,
            as_of=as_of or at,
            amount=order.amount,
            currency=order.currency,
            attempt=order.attempt,
            installation=INSTALLATION,
            merchant=order.merchant,
        )

    def notice(self, fact: int, *, exact: bool) -> Notice:
        return Notice(
            provider_reference=f"evt_{self.reference}_{fact}_{exact}",
            type="payment_intent.changed",
            created_at=self.facts[fact][1],
            livemode=False,
            answer=self.answer(fact),
            exact=exact,
        )


class StandInProvider:
    """Does once what an attempt asks, as long as it knows its key: for 24 hours, like Stripe."""

    name = "ledger"
    livemode = False
    keys_kept = timedelta(hours=24)

    def __init__(self, clock: Clock) -> None:
        self.skew: ClockSkew | None = IN_STEP
        self.clock = clock
        self.will = Will.APPROVE
        self.calls: list[ConfirmOrder] = []
        self.payments: list[Payment] = []
        self.freezes: asyncio.Event | None = None
        """The next call waits for this, before the provider hears of it."""

    def representable(self, amount: int, currency: Currency) -> bool:
        return True

    def transfer_problem(self, currency: Currency, country: str | None) -> str | None:
        return None

    def debit_problem(self, currency: Currency) -> str | None:
        return None

    async def money_left(
        self, customer_reference: str, *, timeout_seconds: float
    ) -> MoneyLeft | Absent | Unknown:
        return Absent()

    async def payment_method(
        self, instrument: Tokened, currency: Currency, *, timeout_seconds: float
    ) -> PaymentMethod | Rejected | NotSent | Unknown:
        match self.will:
            case Will.REJECT:
                return Rejected("payment_method_rejected", "no such token")
            case Will.NOT_SENT:
                return NotSent("refused")
            case Will.LOSE_ORDER | Will.LOSE_REPLY:
                return Unknown("timeout")
            case Will.CUT_BEFORE | Will.CUT_AFTER:
                raise ConnectionAbortedError
        return CARD

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        self.calls.append(order)
        if self.freezes is not None:
            thaw, self.freezes = self.freezes, None
            await thaw.wait()
        match self.will:
            case Will.NOT_SENT:
                return Answer(NotSent("refused"))
            case Will.LOSE_ORDER:
                return Answer(Unknown("timeout"))
            case Will.CUT_BEFORE:
                raise ConnectionAbortedError
        payment = self._known(order) or self._new(order)
        if self.will is Will.CUT_AFTER:
            raise ConnectionAbortedError
        if self.will is Will.LOSE_REPLY:
            return Answer(Unknown("timeout"))
        return payment.answer()

    def _known(self, order: ConfirmOrder) -> Payment | None:
        for payment in reversed(self.payments):
            known_until = payment.made_at + self.keys_kept
            if payment.order.attempt == order.attempt and self.clock() < known_until:
                assert payment.order == order, "what is sent again is equal"
                return payment
        return None

    def _new(self, order: ConfirmOrder) -> Payment:
        now, reference = self.clock(), f"{order.merchant}_{len(self.payments)}"
        payment = Payment(order, reference, now, [(OUTCOMES[self.will], now)])
        self.payments.append(payment)
        return payment

    async def capture(self, order: CaptureOrder, *, timeout_seconds: float) -> Answer:
        (payment,) = (p for p in self.payments if p.reference == order.provider_reference)
        if payment.held:
            payment.facts.append((_APPROVED, self.clock()))
        return payment.answer(as_of=self.clock())

    async def cancel(self, order: CancelOrder, *, timeout_seconds: float) -> Answer:
        (payment,) = (p for p in self.payments if p.reference == order.provider_reference)
        if payment.closable:
            payment.facts.append((Cancelled("requested_by_customer"), self.clock()))
        return payment.answer(as_of=self.clock())

    async def account(self, *, timeout_seconds: float) -> str:
        return "acct_ledger"

    async def change_customer(
        self, provider_reference: str, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade:
        return CustomerMade(provider_reference)

    async def make_customer(
        self, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade | NotSent | Rejected | Unknown:
        raise AssertionError("nobody pushes a transfer here")

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        for payment in self.payments:
            if payment.reference == provider_reference:
                return payment.answer(as_of=self.clock())
        return Absent()

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        for payment in self.payments:
            yield payment.answer()

    def verify_event(self, body: bytes, headers: Mapping[str, str], now: datetime) -> None:
        return

    acts_upon: Sequence[str] = ()

    def masked_event(self, body: bytes) -> MaskedBody:
        return MaskedBody(body, 0)

    def read_event(self, body: bytes) -> Notice:
        return msgspec.json.decode(body, type=Notice)

    async def close(self) -> None:
        return
