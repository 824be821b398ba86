"""A world for flows: the real door and reader, a provider that says what it is told, a still clock.

Everything the flows are given is here and seeded, so a test reads like the story it tells.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from paygate.domain.access.roles import Action, Actor, Caller, Role
from paygate.domain.alert import Alert
from paygate.domain.audit import AuditEntry, Subject
from paygate.domain.card_data.mask import masked
from paygate.domain.event import Event
from paygate.domain.ids import PREFIXES, make_id
from paygate.domain.money import Currency
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.outcome import (
    Answer,
    Approved,
    Card,
    NotSent,
    Outcome,
    PaymentMethod,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.payments.payment_method import CardToken, Tokened
from paygate.domain.provider_event import EventStatus, ProviderEvent, apart
from paygate.domain.refunds.outcome import (
    RefundAnswer,
    Refunded,
    RefundFailed,
    RefundPending,
)
from paygate.flows.alerts.raise_alert import count_occurrence
from paygate.flows.context import Context
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import StoredResponse, idempotently
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.flows.provider_events.receive import receive_provider_event
from paygate.jobs.messages import ApplyProviderEvent, Job, RaiseAlert, decode
from paygate.providers.absence import Absent, ProviderSilent
from paygate.providers.contract import (
    CancelOrder,
    CaptureOrder,
    ClockSkew,
    ConfirmOrder,
    CustomerMade,
    CustomerOrder,
    KeySpent,
    MaskedBody,
    MoneyLeft,
    Notice,
    RefundOrder,
    SignatureError,
)
from paygate.storage.change import Appended, Change, Record, Versioned
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from tests.flows.disputes_at_provider import ScriptedDisputes
from tests.flows.payouts_at_provider import ScriptedPayouts
from tests.making import START, make_audit
from tests.storage.stored import TABLE_OF, select

encode = msgspec.json.encode
INSTALLATION = "in_test"
THEIRS = "ref_1"
WAITS_SECONDS = (0.01, 0.02)
"""How long a delivery is held here that nothing releases."""
IN_STEP = ClockSkew(ahead=timedelta(0), within=timedelta(seconds=1))
"""The provider's clock is ours."""
CARD = Card("visa", "4242", 4, 2030)
APPROVED = Approved(captured=True, amount_received=1999, amount_capturable=0, payment_method=CARD)
CARDLESS = Approved(captured=True, amount_received=1999, amount_capturable=0)
REQUEST = Confirmation(instrument=CardToken("tok_1"), return_url="https://shop.example/done")

Hook = Callable[[ConfirmOrder], Awaitable[None]]
Introduced = CustomerMade | KeySpent | NotSent | Rejected | Unknown
Changed = Introduced | Absent
Looked = PaymentMethod | Rejected | NotSent | Unknown


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class ScriptedProvider(ScriptedDisputes, ScriptedPayouts):
    """Says what was queued, in order; `during` runs in the middle of a confirm."""

    name = "scripted"
    livemode = False
    keys_kept = timedelta(hours=24)

    def __init__(self) -> None:
        super().__init__()
        self.skew: ClockSkew | None = IN_STEP
        self.answers: list[Answer] = []
        self.objects: list[Answer | Absent] = []
        """What is shown of payments that are asked for; of all others: nothing is told."""
        self.listing: Callable[[datetime, datetime], AsyncIterator[Answer]] | None = None
        """What the list shows of a window; None: the objects, and an absent one is silence."""
        self.acts_upon: tuple[str, ...] = ("payment_intent.succeeded",)
        self.listed_events: list[bytes] = []
        """What the list of events shows, whenever it is asked."""
        self.orders: list[ConfirmOrder] = []
        self.named: dict[str, str] = {}
        """The ids of the payments that confirms made, by their keys."""
        self.retrieved: list[str] = []
        self.during: Hook | None = None
        self.standing: list[CaptureOrder | CancelOrder] = []
        self.amid: Callable[[], Awaitable[None]] | None = None
        """What happens in the middle of a capture or a cancel."""
        self.introduced: list[CustomerOrder] = []
        self.customers: list[Introduced] = []
        """What becomes of the next customers; of all others: they are made."""
        self.introducing: Callable[[], Awaitable[None]] | None = None
        """What happens in the middle of making one."""
        self.account_id: str | Rejected | Unknown = "acct_scripted"
        self.changed: list[tuple[str, CustomerOrder]] = []
        """The customers whose details were changed, by the provider's id."""
        self.changes: list[Changed] = []
        """What becomes of the next changes; all others are made."""
        self.asked: list[Tokened] = []
        """The methods that were asked about."""
        self.methods: list[Looked] = []
        """What the next of them are; all others are the same card."""
        self.asking: Callable[[], Awaitable[None]] | None = None
        """What happens in the middle of asking about one."""
        self.refunded: list[RefundOrder] = []
        """The refunds that were asked for."""
        self.refunding: list[RefundAnswer] = []
        """What becomes of the next refunds; all others succeed."""
        self.amid_refund: Callable[[RefundOrder], Awaitable[None]] | None = None
        """What happens in the middle of a refund."""
        self.refunds_shown: dict[str, RefundAnswer] = {}
        """What is shown of refunds, by the provider's id."""
        self.refunds_silent = False
        """Whether the provider's lists of refunds cannot be read."""
        self.amid_refund_look: Callable[[], Awaitable[None]] | None = None
        """What happens while a look-up's answer, which shows the refund as it was, is on its way;
        once."""
        self.left: list[MoneyLeft | Absent | Unknown] = []
        self.left_with: list[str] = []

    def representable(self, amount: int, currency: Currency) -> bool:
        return True

    def transfer_problem(self, currency: Currency, country: str | None) -> str | None:
        return None

    def debit_problem(self, currency: Currency) -> str | None:
        return None

    async def money_left(
        self, customer_reference: str, *, timeout_seconds: float
    ) -> MoneyLeft | Absent | Unknown:
        self.left_with.append(customer_reference)
        return self.left.pop(0)

    async def payment_method(
        self, instrument: Tokened, currency: Currency, *, timeout_seconds: float
    ) -> Looked:
        self.asked.append(instrument)
        if self.asking is not None:
            await self.asking()
        return self.methods.pop(0) if self.methods else CARD

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        self.orders.append(order)
        if self.during is not None:
            await self.during(order)
        # The first payment is THEIRS; each other has an id of its own.
        number = len(self.named) + 1
        named = self.named.setdefault(order.attempt, THEIRS if number == 1 else f"theirs_{number}")
        return _of(self.answers.pop(0), named)

    async def capture(self, order: CaptureOrder, *, timeout_seconds: float) -> Answer:
        return await self._ordered(order)

    async def cancel(self, order: CancelOrder, *, timeout_seconds: float) -> Answer:
        return await self._ordered(order)

    def cancel_keys(self) -> list[str]:
        """The keys of the cancels that were asked for, in order."""
        return [order.key for order in self.standing if isinstance(order, CancelOrder)]

    async def _ordered(self, order: CaptureOrder | CancelOrder) -> Answer:
        self.standing.append(order)
        if self.amid is not None:
            await self.amid()
        return _of(self.answers.pop(0), order.provider_reference)

    async def make_customer(self, order: CustomerOrder, *, timeout_seconds: float) -> Introduced:
        self.introduced.append(order)
        made = self.customers.pop(0) if self.customers else CustomerMade(f"cus {order.customer}")
        if self.introducing is not None:
            await self.introducing()
        return made

    async def change_customer(
        self, provider_reference: str, order: CustomerOrder, *, timeout_seconds: float
    ) -> Changed:
        self.changed.append((provider_reference, order))
        if self.introducing is not None:
            await self.introducing()
        return self.changes.pop(0) if self.changes else CustomerMade(provider_reference)

    async def refund(self, order: RefundOrder, *, timeout_seconds: float) -> RefundAnswer:
        self.refunded.append(order)
        if self.amid_refund is not None:
            await self.amid_refund(order)
        said = self.refunding.pop(0) if self.refunding else RefundAnswer(Refunded())
        if isinstance(said.outcome, Refunded | RefundPending | RefundFailed):
            said = msgspec.structs.replace(
                said,
                provider_reference=said.provider_reference or f"their_{order.refund}",
                payment_reference=order.payment_reference,
                amount=order.amount if said.amount is None else said.amount,
                currency=said.currency or order.currency,
                refund=order.refund,
                installation=INSTALLATION,
                merchant=order.merchant,
            )
            self.refunds_shown[str(said.provider_reference)] = said
        return said

    async def retrieve_refund(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> RefundAnswer | Absent:
        shown = self.refunds_shown.get(provider_reference, Absent())
        amid, self.amid_refund_look = self.amid_refund_look, None
        if amid is not None:
            await amid()
        return shown

    async def list_refunds(
        self, payment_reference: str, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        if self.refunds_silent:
            raise ProviderSilent
        for shown in self.refunds_shown.values():
            if shown.payment_reference == payment_reference:
                yield shown

    async def list_refunds_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[RefundAnswer]:
        if self.refunds_silent:
            raise ProviderSilent
        for shown in self.refunds_shown.values():
            if shown.created_at is None or since <= shown.created_at <= until:
                yield shown

    async def account(self, *, timeout_seconds: float) -> str | Rejected | Unknown:
        return self.account_id

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        self.retrieved.append(provider_reference)
        found = self.objects.pop(0) if self.objects else Answer(Unknown("not told"))
        return found if isinstance(found, Absent) else _of(found, provider_reference)

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        if self.listing is not None:
            async for shown in self.listing(since, until):
                yield shown
            return
        for said in self.objects:
            if isinstance(said, Absent):
                raise ProviderSilent
            yield said

    async def list_events(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[bytes]:
        for body in self.listed_events:
            yield body

    def verify_event(self, body: bytes, headers: Mapping[str, str], now: datetime) -> None:
        if headers.get("signature") != "good":
            raise SignatureError("the signature is wrong")

    def masked_event(self, body: bytes) -> MaskedBody:
        text = body.decode(errors="replace")
        left = masked(text)
        return MaskedBody(body, 0) if left is text else MaskedBody(left.encode(), 1)

    def read_event(self, body: bytes) -> Notice:
        try:
            return msgspec.json.decode(body, type=Notice)
        except msgspec.MsgspecError:
            raise ValueError("not an event") from None

    async def close(self) -> None:
        return


@dataclass
class World:
    """The context of the flows, and what stands behind it."""

    ctx: Context
    provider: ScriptedProvider
    clock: Clock
    records: Records
    connection: Connection
    requests: int = 0
    caller: Caller = field(
        default_factory=lambda: Caller(
            Actor("api_key", id=make_id(PREFIXES["api_key"], 0, bytes(10)), role=Role.ADMIN),
            "default",
            request_id="req_1",
        )
    )

    async def create(self, **more: Any) -> PaymentIntent:
        request = NewPaymentIntent(amount=1999, currency="eur", **more)
        return (await create_payment_intent(self.ctx, self.caller, request)).intent

    async def confirm(self, intent: PaymentIntent) -> PaymentIntent:
        return await confirm_payment_intent(self.ctx, self.caller, intent.id, REQUEST)

    def use(self, **changes: Any) -> None:
        """Change parts of the context for what comes."""
        self.ctx = msgspec.structs.replace(self.ctx, **changes)

    async def confirm_once(
        self, intent: PaymentIntent, key: str, *, request: Confirmation = REQUEST
    ) -> StoredResponse:
        """Confirm under an idempotency key, as the edge does."""
        self.requests += 1
        caller = msgspec.structs.replace(self.caller, request_id=f"req_{self.requests}")
        return await idempotently(
            self.ctx,
            KeyedRequest(
                caller, Action.INTENT_CONFIRM, f"sk POST {intent.id}", key, encode(request)
            ),
            lambda ctx: confirm_payment_intent(ctx, caller, intent.id, request),
            encode,
        )

    async def confirming(self, outcome: Outcome, **more: Any) -> tuple[PaymentIntent, Attempt]:
        """An intent whose confirm was answered so."""
        self.provider.answers.append(answer(outcome, **more))
        intent = await self.confirm(await self.create())
        assert intent.attempt is not None
        attempt = await self.ctx.read.attempt(intent.merchant, intent.attempt)
        assert attempt is not None
        return intent, attempt

    async def receive(self, notice: Notice | bytes) -> None:
        body = notice if isinstance(notice, bytes) else msgspec.json.encode(notice)
        caller = Caller(Actor("provider", id="scripted"), "default", request_id="req_event")
        await receive_provider_event(self.ctx, caller, body, {"signature": "good"})

    async def stored_only(self, notice: Notice) -> ProviderEvent:
        """An event that nobody has looked at yet."""
        caller = Caller(Actor("provider", id="scripted"), "default", request_id="req_event")
        event = ProviderEvent(
            id=self.ctx.new_id("provider_event"),
            merchant="default",
            provider_reference=notice.provider_reference,
            type=notice.type,
            status=EventStatus.RECEIVED,
            provider_created_at=notice.created_at or self.clock(),
            received_at=self.clock(),
            updated_at=self.clock(),
            body=encode(notice),
        )
        subject = Subject("provider_event", event.id)
        audit = self.ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, subject)
        job = Job(ApplyProviderEvent(event.merchant, event.id))
        kept = apart(event)
        await self.ctx.door.commit(Change(audit, creates=kept, jobs=(job,)))
        return kept[0]

    async def store(self, *records: Versioned | Appended) -> None:
        """Records as they are, whatever made them so."""
        await self.ctx.door.commit(Change(make_audit(), creates=records))

    async def apply(self, event: ProviderEvent) -> ProviderEvent:
        await apply_provider_event(self.ctx, ApplyProviderEvent(event.merchant, event.id))
        after = await self.ctx.read.provider_event(event.merchant, event.id)
        assert after is not None
        return after

    async def applied(self, notice: Notice) -> ProviderEvent:
        """What became of an event at its own time: where it was received, or else tried once."""
        if notice.answer is not None and notice.answer.as_of is not None:
            self.clock.time = max(self.clock.time, notice.answer.as_of)
        await self.receive(notice)
        event = (await self.all(ProviderEvent))[-1]
        return await self.apply(event) if event.status is EventStatus.RECEIVED else event

    async def count_occurrences(self) -> None:
        """Do the jobs that raise alerts, as a worker would."""
        rows = await self.connection.fetch(
            "SELECT id, payload FROM pgqueuer WHERE entrypoint = 'raise_alert' ORDER BY id"
        )
        for row in rows:
            message = decode(row["payload"])
            assert isinstance(message, RaiseAlert)
            await count_occurrence(self.ctx, message)
            await self.connection.execute("DELETE FROM pgqueuer WHERE id = $1", row["id"])

    async def all(self, kind: type[Any]) -> list[Any]:
        """Every record of a kind, opened, in the order in which they were made; alerts as they are
        once a worker has nothing left to raise.
        """
        if kind is Alert:
            await self.count_occurrences()
        table = TABLE_OF[kind]
        rows = await self.connection.fetch(f"{select(table)} ORDER BY xmin::text::bigint, id")
        return [self.records.open(kind, tuple(row)) for row in rows]

    async def event_types(self, intent: PaymentIntent) -> list[str]:
        """What the merchant was told of an intent, in order of its versions."""
        events: list[Event] = [e for e in await self.all(Event) if e.object_id == intent.id]
        return [e.type for e in sorted(events, key=lambda e: e.object_version)]

    async def events(self, intent: PaymentIntent) -> list[Event]:
        """What the merchant was told of an intent."""
        return [e for e in await self.all(Event) if e.object_id == intent.id]

    async def now(self, intent: PaymentIntent) -> tuple[PaymentIntent, list[Attempt]]:
        """An intent and its attempts as they stand in the database."""
        (found,) = [i for i in await self.all(PaymentIntent) if i.id == intent.id]
        tries = [a for a in await self.all(Attempt) if a.intent == intent.id]
        return found, sorted(tries, key=lambda a: a.number)

    async def counts(self) -> dict[type[Record], int]:
        return {kind: len(await self.all(kind)) for kind in TABLE_OF}

    async def delays(self) -> list[float]:
        """How long each queued job waits, in seconds, in order of queueing."""
        rows = await self.connection.fetch(
            "SELECT extract(epoch FROM execute_after - created)::float AS wait"
            " FROM pgqueuer WHERE entrypoint = 'apply_provider_event' ORDER BY id"
        )
        return [row["wait"] for row in rows]

    async def audited(self) -> list[AuditEntry]:
        return await self.all(AuditEntry)


def intent_of(event: Event) -> PaymentIntent:
    """The payment intent that an event is about, as it then was."""
    assert isinstance(event.record, PaymentIntent)
    return event.record


def _of(said: Answer, reference: str) -> Answer:
    """What was queued without a payment's own id, for the payment that was asked about."""
    if said.provider_reference != THEIRS:
        return said
    return msgspec.structs.replace(said, provider_reference=reference)


def answer(outcome: Outcome, **more: Any) -> Answer:
    """An answer about our amount, under their reference."""
    known: dict[str, Any] = {
        "provider_reference": THEIRS,
        "as_of": START,
        "amount": 1999,
        "currency": "eur",
    }
    return Answer(outcome, **(known | more))


def notice(
    attempt: Attempt | None, outcome: Outcome, *, reference: str = "evt_1", **more: Any
) -> Notice:
    """An event about an attempt of ours, a second after its confirm was answered."""
    known: dict[str, Any] = {"as_of": START + timedelta(seconds=1), "installation": INSTALLATION}
    if attempt is not None:
        known |= {"attempt": attempt.id, "merchant": attempt.merchant}
    return Notice(
        provider_reference=reference,
        type="payment_intent.succeeded",
        created_at=START,
        livemode=False,
        answer=answer(outcome, **(known | more)),
        exact=True,
    )
