"""A provider that keeps books of what it gave back too, and gives each order once.

It never sees our database, so it can judge what we say of a refund.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from paygate.domain.payments.outcome import Approved, NotSent, Unknown
from paygate.domain.refunds.outcome import (
    RefundAnswer,
    Refunded,
    RefundFailed,
    RefundOutcome,
    RefundPending,
    RefundRejected,
)
from paygate.providers.absence import Absent
from paygate.providers.contract import Notice, RefundOrder
from tests.flows.payments.stand_in_provider import Payment, StandInProvider
from tests.flows.world import INSTALLATION, Clock


class Giving(StrEnum):
    """What the provider does with the next refund that it does not know yet."""

    GIVE = "give"
    STAY_PENDING = "stay_pending"
    FAIL = "fail"
    NOT_SENT = "not_sent"
    LOSE_ORDER = "lose_order"
    """A timeout, and it never heard of it."""
    LOSE_REPLY = "lose_reply"
    """A timeout, and it gave the money back."""
    CUT_BEFORE = "cut_before"
    """Our request dies in the call, and the provider never heard of it."""
    CUT_AFTER = "cut_after"
    """Our request dies in the call, and the provider gave the money back."""


CAME_BACK: Final = RefundFailed("declined", "The payer's bank refuses the money.")
_FIRST: Final[dict[Giving, RefundOutcome]] = {
    Giving.STAY_PENDING: RefundPending("The provider works on it."),
    Giving.FAIL: CAME_BACK,
}


@dataclass
class Given:
    """One refund at the provider: everything that it was, with the provider's times."""

    payment: Payment
    reference: str
    amount: int
    made_at: datetime
    order: RefundOrder | None
    """None: somebody made it in the dashboard."""
    facts: list[tuple[RefundOutcome, datetime]]

    @property
    def outcome(self) -> RefundOutcome:
        return self.facts[-1][0]

    @property
    def counts(self) -> bool:
        """Whether the money has left, or is about to."""
        return isinstance(self.outcome, Refunded | RefundPending)

    def answer(self, fact: int = -1, as_of: datetime | None = None) -> RefundAnswer:
        outcome, at = self.facts[fact]
        ours = self.order is not None
        return RefundAnswer(
            outcome,
            provider_reference=self.reference,
            payment_reference=self.payment.reference,
            as_of=as_of or at,
            created_at=self.made_at,
            amount=self.amount,
            currency=self.payment.order.currency,
            refund=self.order.refund if self.order else None,
            installation=INSTALLATION if ours else None,
            merchant=self.order.merchant if self.order else None,
        )

    def notice(self, fact: int, *, exact: bool) -> Notice:
        return Notice(
            provider_reference=f"evt_{self.reference}_{fact}_{exact}",
            type="refund.changed",
            created_at=self.facts[fact][1],
            livemode=False,
            refund=self.answer(fact),
            exact=exact,
        )


class RefundingProvider(StandInProvider):
    """Gives each order once, as long as it knows its key, and never more than it took."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.giving = Giving.GIVE
        self.given: list[Given] = []
        self.asked: list[RefundOrder] = []
        self.disputed: set[str] = set()
        """The payments that a bank disputes."""

    def left_of(self, payment: Payment) -> int:
        """What it took and has not given back."""
        taken = payment.outcome.amount_received if isinstance(payment.outcome, Approved) else 0
        return taken - sum(g.amount for g in self.given if g.payment is payment and g.counts)

    def refuses(self, payment: Payment, amount: int) -> RefundRejected | None:
        """Why it gives nothing back; None when it does."""
        left = self.left_of(payment)
        if payment.reference in self.disputed:
            return RefundRejected("charge_disputed", "The payment is disputed.")
        if left == 0:
            return RefundRejected("charge_already_refunded", "All of it was given back.")
        if amount > left:
            return RefundRejected("amount_too_large", "Less is left of the payment.")
        return None

    def of_the_dashboard(self, payment: Payment, amount: int) -> Given | None:
        """A refund that somebody makes there; None when there is not so much left."""
        if self.refuses(payment, amount) is not None:
            return None
        return self._give(payment, amount, None, Refunded())

    async def refund(self, order: RefundOrder, *, timeout_seconds: float) -> RefundAnswer:
        self.asked.append(order)
        match self.giving:
            case Giving.NOT_SENT:
                return RefundAnswer(NotSent("refused"))
            case Giving.LOSE_ORDER:
                return RefundAnswer(Unknown("timeout"))
            case Giving.CUT_BEFORE:
                raise ConnectionAbortedError
        answer = self._known_refund(order) or self._new_refund(order)
        if self.giving is Giving.CUT_AFTER:
            raise ConnectionAbortedError
        if self.giving is Giving.LOSE_REPLY:
            return RefundAnswer(Unknown("timeout"))
        return answer

    def _known_refund(self, order: RefundOrder) -> RefundAnswer | None:
        """What the key's first call was answered, which orders nothing by its time."""
        for given in reversed(self.given):
            ours = given.order is not None and given.order.refund == order.refund
            if ours and self.clock() < given.made_at + self.keys_kept:
                assert given.order == order, "what is sent again is equal"
                return msgspec.structs.replace(given.answer(0), as_of=None)
        return None

    def _new_refund(self, order: RefundOrder) -> RefundAnswer:
        (payment,) = (p for p in self.payments if p.reference == order.payment_reference)
        refused = self.refuses(payment, order.amount)
        if refused is not None:
            return RefundAnswer(refused)
        first = _FIRST.get(self.giving, Refunded())
        return self._give(payment, order.amount, order, first).answer()

    def _give(
        self, payment: Payment, amount: int, order: RefundOrder | None, first: RefundOutcome
    ) -> Given:
        now, reference = self.clock(), f"{payment.reference}_re{len(self.given)}"
        given = Given(payment, reference, amount, now, order, [(first, now)])
        self.given.append(given)
        return given

    async def retrieve_refund(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> RefundAnswer | Absent:
        for given in self.given:
            if given.reference == provider_reference:
                return given.answer(as_of=self.clock())
        return Absent()

    async def list_refunds(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        for given in reversed(self.given):
            if given.payment.reference == payment_reference:
                yield given.answer(as_of=self.clock())
