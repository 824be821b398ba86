"""A provider with books: what it lists, shows and tells is what stands there, by its own clock."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.outcome import ActionRequired, Answer, Outcome, RedirectToUrl
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Reconciliation
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.flows.reconciliation.by_hand import reconcile_by_hand
from paygate.flows.reconciliation.run import reconcile_by_the_clock
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.contract import Notice
from tests.flows.world import INSTALLATION, ScriptedProvider, World, answer, encode

CHALLENGE = ActionRequired(RedirectToUrl("https://bank.example/3ds"))
QUARTER = 15 * 60
PAGE = 100


@dataclass
class Payment:
    """A payment at the provider. `listed_after` is how late the lists show it."""

    made_at: datetime
    answer: Answer
    listed_after: timedelta = timedelta(0)


@dataclass
class Told:
    """An event at the provider."""

    at: datetime
    notice: Notice
    listed_after: timedelta = timedelta(0)


@dataclass
class Books:
    """Payments and events, and how often each list and each payment was asked for."""

    payments: dict[str, Payment] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    unread: list[tuple[datetime, bytes]] = field(default_factory=list)
    """Events in a shape that nobody can read, and when they were made."""
    calls: Counter[str] = field(default_factory=Counter)
    silent: set[str] = field(default_factory=set)
    """Of `payments`, `events` and `retrieve`: those that are not answered."""
    stumbles_over: str | None = None
    """A payment that cannot be fetched without a fault."""
    windows: list[tuple[datetime, datetime]] = field(default_factory=list)
    """What was asked for of the list of payments."""
    refund_windows: list[tuple[datetime, datetime]] = field(default_factory=list)
    """What was asked for of the list of refunds."""


class BookProvider(ScriptedProvider):
    """Confirms are answered as scripted; all else is as the books have it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.books = Books()
        self._clock = world.clock

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        self.books.calls["retrieve"] += 1
        if provider_reference == self.books.stumbles_over:
            raise RuntimeError("a fault")
        if "retrieve" in self.books.silent:
            return await super().retrieve(provider_reference, timeout_seconds=timeout_seconds)
        found = self.books.payments.get(provider_reference)
        return Absent() if found is None else self._now(found.answer)

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        self.books.windows.append((since, until))
        shown = [
            p
            for p in self.books.payments.values()
            if since <= p.made_at <= until and p.made_at + p.listed_after <= self._clock()
        ]
        shown.sort(key=lambda payment: payment.made_at, reverse=True)
        for payment in self._paged("payments", shown):
            yield self._now(payment.answer)

    async def list_events(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[bytes]:
        shown = [
            t
            for t in self.books.told
            if since <= t.at <= until and t.at + t.listed_after <= self._clock()
        ]
        shown.sort(key=lambda told: told.at, reverse=True)
        for told in self._paged("events", shown):
            yield encode(told.notice)
        for at, body in self.books.unread:
            if since <= at <= until:
                yield body

    async def list_refunds_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        self.books.refund_windows.append((since, until))
        self.books.calls["refunds"] += 1
        listing = super().list_refunds_created(since, until, timeout_seconds=timeout_seconds)
        async for shown in listing:
            yield shown

    async def retrieve_refund(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> RefundAnswer | Absent:
        self.books.calls["retrieve_refund"] += 1
        return await super().retrieve_refund(provider_reference, timeout_seconds=timeout_seconds)

    def _paged(self, kind: str, shown: list[Any]) -> list[Any]:
        self.books.calls[kind] += max(1, -(-len(shown) // PAGE))
        if kind in self.books.silent:
            raise ProviderSilent
        return shown

    def _now(self, said: Answer) -> Answer:
        return msgspec.structs.replace(said, as_of=self._clock())


@dataclass
class Shop:
    """A world whose provider has books."""

    world: World
    provider: BookProvider

    @property
    def books(self) -> Books:
        return self.provider.books

    async def waiting(self, **more: Any) -> tuple[PaymentIntent, Attempt]:
        """A payment that waits for its payer, at both sides."""
        intent, attempt = await self.paid(CHALLENGE, **more)
        assert intent.status is Status.REQUIRES_ACTION
        return intent, attempt

    async def paid(self, outcome: Outcome, **more: Any) -> tuple[PaymentIntent, Attempt]:
        """A payment whose confirm was answered so, and stands so at the provider."""
        self.provider.answers.append(answer(outcome, as_of=self.world.clock()))
        intent = await self.world.confirm(await self.world.create(**more))
        _, (attempt,) = await self.world.now(intent)
        if intent.provider_reference is not None:
            self.has(intent.provider_reference, outcome, attempt)
        return intent, attempt

    def has(
        self,
        reference: str,
        outcome: Outcome,
        attempt: Attempt | None = None,
        *,
        marked: str | None = None,
        **more: Any,
    ) -> None:
        """Write a payment into the provider's books, or what has become of it; `marked` with the
        name of an attempt, where that is not known here.
        """
        known: dict[str, Any] = {"provider_reference": reference, "installation": INSTALLATION}
        known["attempt"] = marked
        if attempt is not None:
            known |= {"attempt": attempt.id, "merchant": attempt.merchant}
        before = self.books.payments.get(reference)
        made_at = self.world.clock() if before is None else before.made_at
        if before is None:
            self.books.told.append(Told(made_at, _of_no_use(f"evt_of_{reference}", made_at)))
        self.books.payments[reference] = Payment(made_at, answer(outcome, **(known | more)))

    def tells(self, reference: str, attempt: Attempt, outcome: Outcome, **more: Any) -> Told:
        """Write an event into the provider's books."""
        now = self.world.clock()
        said = answer(
            outcome,
            as_of=now,
            installation=INSTALLATION,
            attempt=attempt.id,
            merchant=attempt.merchant,
            provider_reference=attempt.provider_reference,
        )
        kind = "payment_intent.succeeded"
        event = Notice(
            provider_reference=reference,
            type=kind,
            created_at=now,
            livemode=False,
            answer=said,
            exact=True,
        )
        told = Told(now, event, **more)
        self.books.told.append(told)
        return told

    async def round(self, *, after_seconds: float = QUARTER) -> Reconciliation:
        """The next round by the clock."""
        self.world.clock.forward(after_seconds)
        return await reconcile_by_the_clock(self.world.ctx, "run_1")

    async def by_hand(self, since: datetime | None = None) -> Reconciliation:
        """A round of a person's, a second later."""
        self.world.clock.forward(1)
        return await reconcile_by_hand(self.world.ctx, self.world.caller, since=since)

    async def findings(self, run: Reconciliation | None = None) -> list[Finding]:
        """What rounds have found, or one did."""
        found: list[Finding] = await self.world.all(Finding)
        return [f for f in found if run is None or f.reconciliation == run.id]

    async def status(self, intent: PaymentIntent) -> Status:
        return (await self.world.now(intent))[0].status


def _of_no_use(reference: str, at: datetime) -> Notice:
    """An event that tells nothing: no list of a busy time is empty."""
    return Notice(
        provider_reference=reference,
        type="customer.created",
        created_at=at,
        livemode=False,
        answer=None,
        exact=True,
    )
