"""What flows read: a typed function for every named block of `queries/`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from paygate.domain.access.api_key import ApiKey
from paygate.domain.alert import Alert, AlertNotice, AlertStatus, Occurrence
from paygate.domain.customer import Customer
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.payment_intent import ENDED_WITHOUT_MONEY, PaymentIntent, Status
from paygate.domain.payments.reference_claim import ReferenceClaim
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.provider_event import EventStatus, ProviderEvent, ProviderEventBody
from paygate.storage.change import Outdated
from paygate.storage.connections.database import reading
from paygate.storage.pages import Cut, Page, Place, Stretch, beyond_all, first_id
from paygate.storage.reading import LONG_AGO, Reading
from paygate.storage.schema.versions import WRITER, too_old
from paygate.storage.unreadable import UNREAD

_BEYOND_INTENTS: Final = beyond_all("payment_intent")
_BEYOND_EVENTS: Final = beyond_all("provider_event")


class IntentFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which payment intents a list shows; None lets all pass. Times are exclusive."""

    status: Status | None = None
    reference: str | None = None
    customer: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class EventFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which provider events a list shows; None lets all pass. Times are exclusive.

    `created_*` are about when an event was received here, `provider_created_*` about when it
    happened at the provider; `subject` is the id of one of our objects.
    """

    type: str | None = None
    status: EventStatus | None = None
    verdict: str | None = None
    subject: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    provider_created_after: datetime | None = None
    provider_created_before: datetime | None = None


Span = tuple[datetime, datetime]
"""From when until when."""


class WaitingEvent(NamedTuple):
    """A provider event that is to be applied still; nothing of it is opened."""

    updated_at: datetime
    merchant: str
    id: str


class Reader(Reading):
    """What all features read."""

    async def payment_intent(self, merchant: str, intent_id: str) -> PaymentIntent | None:
        """The intent, or None when this merchant has none of that id."""
        return await self._one(PaymentIntent, "payment_intent", merchant, intent_id)

    async def payment_intent_by_provider_reference(self, reference: str) -> PaymentIntent | None:
        """The intent that rests on the payment to which the provider gave this id, or None."""
        for index in self._records.payment_indexes(reference):
            found = await self._one(PaymentIntent, "payment_intent_by_provider_reference", index)
            if found is not None:
                return found
        return None

    async def payment_intent_by_reference(
        self, merchant: str, reference: str, *, besides: str
    ) -> PaymentIntent | None:
        """The intent of this reference that is paid, or else the newest that can still be paid, or
        None; `besides` is the id of one that is not looked for.
        """
        indexes = self._records.reference_indexes(merchant, reference)
        ended = sorted(ENDED_WITHOUT_MONEY)
        rows = await self._search("payment_intent_by_reference", merchant, indexes, ended, besides)
        return self._open(PaymentIntent, rows[0]) if rows else None

    async def reference_claim(self, merchant: str, claim_id: str) -> ReferenceClaim | None:
        """The claim, or None."""
        return await self._one(ReferenceClaim, "reference_claim", merchant, claim_id)

    async def attempt(self, merchant: str, attempt_id: str) -> Attempt | None:
        """The attempt, or None."""
        return await self._one(Attempt, "attempt", merchant, attempt_id)

    async def attempt_with_intent(
        self, merchant: str, attempt_id: str
    ) -> tuple[PaymentIntent, Attempt] | None:
        """An attempt's intent and the attempt, of one moment, or None."""
        row = await self._look_up("attempt_with_intent", merchant, attempt_id)
        return None if row is None else self._records.open_both(PaymentIntent, Attempt, row)

    async def attempts_in_doubt(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Attempt]:
        """Attempts first sent before a time that nobody knows the end of, the oldest first."""
        order = ("first_sent_at", "merchant", "id")
        return await self._stretch(Attempt, "attempts_in_doubt", order, after, limit, before)

    async def attempts_never_sent(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Attempt]:
        """Confirms that were not sent, of intents that have been waiting since before a time."""
        order = ("merchant", "intent")
        return await self._stretch(Attempt, "attempts_never_sent", order, after, limit, before)

    async def attempts_to_close(
        self, at: datetime, after: Place | None, limit: int
    ) -> Stretch[Attempt]:
        """Open attempts whose time is over, the longest overdue first."""
        order = ("close_at", "merchant", "id")
        return await self._stretch(Attempt, "attempts_to_close", order, after, limit, at)

    async def provider_event(self, merchant: str, event_id: str) -> ProviderEvent | None:
        """The provider event, or None."""
        return await self._one(ProviderEvent, "provider_event", merchant, event_id)

    async def provider_event_body(self, event: ProviderEvent) -> bytes | None:
        """What the provider sent, or None when it is not kept any more."""
        if event.body is not None:
            return event.body
        row = await self._fetch("provider_event_body", event.merchant, event.id, event.received_at)
        return None if row is None else self._open(ProviderEventBody, row).body

    async def provider_event_by_provider_reference(
        self, merchant: str, provider_reference: str
    ) -> ProviderEvent | None:
        """The event that was stored under the provider's id, or None."""
        indexes = self._records.provider_reference_indexes(merchant, provider_reference)
        row = await self._fetch("provider_event_by_provider_reference", merchant, indexes)
        return None if row is None else self._open(ProviderEvent, row)

    async def provider_events(
        self, merchant: str, cut: Cut, filters: EventFilters
    ) -> Page[ProviderEvent]:
        """A page of the provider events that pass the filters."""
        after, before, kind = filters.created_after, filters.created_before, filters.type
        return await self._page(
            ProviderEvent,
            "provider_events_older",
            "provider_events_newer",
            cut,
            merchant,
            # An id begins with its record's time, so the times bound the scan.
            first_id("provider_event", after) if after else "",
            first_id("provider_event", before, later=1) if before else _BEYOND_EVENTS,
            filters.status,
            None if kind is None else self._records.event_type_indexes(merchant, kind),
            filters.subject,
            after,
            before,
            filters.provider_created_after,
            filters.provider_created_before,
            filters.verdict,
        )

    async def provider_events_waiting(
        self, before: datetime, after: WaitingEvent | None, limit: int
    ) -> list[WaitingEvent]:
        """The next events that were received and not touched since before a time, the oldest first;
        by name, so that one which cannot be opened does not hide the others.
        """
        return await self._waiting("provider_events_waiting", before, after, limit)

    async def provider_events_parked(
        self, before: datetime, after: WaitingEvent | None, limit: int
    ) -> list[WaitingEvent]:
        """The same for those whose object is not known yet."""
        return await self._waiting("provider_events_parked", before, after, limit)

    async def provider_events_replayable(
        self, before: datetime, after: WaitingEvent | None, limit: int
    ) -> list[WaitingEvent]:
        """The same for those that were given up for a fault that may pass, and are tried again."""
        return await self._waiting("provider_events_replayable", before, after, limit)

    async def types_without_handler(
        self, merchant: str, types: Sequence[str], since: datetime
    ) -> list[bytes]:
        """Those of the provider's types, as they stand in clear, of which events since a time were
        ignored because nothing was made of them.
        """
        indexes = [each for t in types for each in self._records.event_type_indexes(merchant, t)]
        return [row["kind"] for row in await self._search("types_without_handler", indexes, since)]

    async def events_without_handler(
        self, kind: bytes, since: datetime, before: datetime, after: WaitingEvent | None, limit: int
    ) -> list[WaitingEvent]:
        """The next such events of a type that were received since a time, and not touched since
        another; the oldest first.
        """
        return await self._waiting(
            "provider_events_without_handler", before, after, kind, since, limit
        )

    async def provider_events_known(
        self, merchant: str, references: Sequence[str]
    ) -> frozenset[str]:
        """Which of the provider's ids an event is stored under."""
        indexes = {
            index: reference
            for reference in references
            for index in self._records.provider_reference_indexes(merchant, reference)
        }
        rows = await self._search("provider_events_known", merchant, list(indexes))
        return frozenset(indexes[row["reference_index"]] for row in rows)

    async def jobs_waiting(self, before: datetime) -> Mapping[str, int]:
        """How many jobs of each kind are in the queue since before a time; and under `tell-events`,
        how many merchants have been told of nothing for so long, though something happened.
        """
        rows = await self._search("jobs_waiting", before)
        return {row["entrypoint"]: row["waiting"] for row in rows}

    async def api_key(self, key_id: str) -> ApiKey | None:
        """The key with this id, whoever's it is, or None."""
        return await self._one(ApiKey, "api_key", key_id)

    async def payment_intents(
        self, merchant: str, cut: Cut, filters: IntentFilters
    ) -> Page[PaymentIntent]:
        """A page of the merchant's intents that pass the filters."""
        after, before = filters.created_after, filters.created_before
        reference = filters.reference
        return await self._page(
            PaymentIntent,
            "payment_intents_older",
            "payment_intents_newer",
            cut,
            merchant,
            # An id begins with its record's time, so the times bound the scan.
            first_id("payment_intent", after) if after else "",
            first_id("payment_intent", before, later=1) if before else _BEYOND_INTENTS,
            filters.status,
            None if reference is None else self._records.reference_indexes(merchant, reference),
            filters.customer,
            after,
            before,
        )

    async def payment_intents_overdue(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[PaymentIntent]:
        """Intents that are `created` since before a time, in the order of merchant and id."""
        order = ("merchant", "id")
        bound = first_id("payment_intent", before, later=1)
        return await self._stretch(
            PaymentIntent, "payment_intents_overdue", order, after, limit, bound, before
        )

    async def payment_intents_held(self, after: Place | None, limit: int) -> Stretch[PaymentIntent]:
        """Intents whose money is held, in the order of merchant and id."""
        order = ("merchant", "id")
        return await self._stretch(PaymentIntent, "payment_intents_held", order, after, limit)

    async def idempotency_keys_unfinished(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[IdempotencyKey]:
        """Keys made before a time whose request never came to its end, the oldest first."""
        order = ("created_at", "merchant", "id")
        return await self._stretch(
            IdempotencyKey, "idempotency_keys_unfinished", order, after, limit, before
        )

    async def alerts_standing(self, after: Place | None, limit: int) -> Stretch[Alert]:
        """Alerts that are not closed, in the order of merchant and id."""
        order = ("merchant", "id")
        return await self._stretch(Alert, "alerts_standing", order, after, limit)

    async def alerts_to_send(
        self, channel: str, taken: Span, pausing: Span, after: Place | None, limit: int
    ) -> Stretch[Alert]:
        """Open alerts that a channel has not taken as they now are, in the order of merchant and
        id; without those that it took within a time, and those that pause until a time within
        another. Times beyond were written by a clock that was wrong.
        """
        order = ("merchant", "id")
        return await self._stretch(
            Alert, "alerts_to_send", order, after, limit, channel, *taken, *pausing
        )

    async def alert_notice(self, merchant: str, notice_id: str) -> AlertNotice | None:
        """The notice that a channel took an alert, or None."""
        return await self._one(AlertNotice, "alert_notice", merchant, notice_id)

    async def occurrences_waiting(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Occurrence]:
        """Occurrences from before a time that no alert has counted, the oldest first."""
        order = ("at", "merchant", "id")
        return await self._stretch(Occurrence, "occurrences_waiting", order, after, limit, before)

    async def transfers_after(self, merchant: str, transfer_id: str, limit: int) -> list[Transfer]:
        """The next transfers of all merchants, in the order of merchant and id."""
        rows = await self._search("ledger_transfers", merchant, transfer_id, limit)
        return [self._open(Transfer, row) for row in rows]

    async def payment_intents_after(
        self, merchant: str, intent_id: str, limit: int
    ) -> list[PaymentIntent]:
        """The next intents of all merchants, in the order of merchant and id."""
        rows = await self._search("payment_intents_after", merchant, intent_id, limit)
        return [self._open(PaymentIntent, row) for row in rows]

    async def alert(self, merchant: str, alert_id: str) -> Alert | None:
        """The alert, or None."""
        return await self._one(Alert, "alert", merchant, alert_id)

    async def alerts(self, merchant: str, cut: Cut, status: AlertStatus | None) -> Page[Alert]:
        """A page of the merchant's alerts, all or those of one status."""
        return await self._page(Alert, "alerts_older", "alerts_newer", cut, merchant, status)

    async def alert_standing(self, merchant: str, name: str) -> Alert | None:
        """The alert that stands under this name, or None."""
        return await self._one(Alert, "alert_standing", merchant, name)

    async def occurrence(self, merchant: str, occurrence_id: str) -> Occurrence | None:
        """The occurrence of an alert, or None."""
        return await self._one(Occurrence, "alert_occurrence", merchant, occurrence_id)

    async def provider_account(self, merchant: str, provider: str) -> ProviderAccount | None:
        """The account that is pinned for a provider, or None."""
        return await self._one(ProviderAccount, "provider_account", merchant, provider)

    async def customer(self, merchant: str, customer_id: str) -> Customer | None:
        """The customer, or None."""
        return await self._one(Customer, "customer", merchant, customer_id)

    async def api_keys(self, merchant: str, cut: Cut) -> Page[ApiKey]:
        """A page of the merchant's keys."""
        return await self._page(ApiKey, "api_keys_older", "api_keys_newer", cut, merchant)

    async def api_key_uses(self, key_ids: Sequence[str]) -> Mapping[str, datetime]:
        """When these keys were last used; those that never were are left out."""
        rows = await self._fetch_all("api_key_uses", key_ids)
        return {row["key"]: row["last_used_at"] for row in rows}

    async def opens(self, table: str, merchant: str, record_id: str) -> bool:
        """Whether a record that could not be read can be read now, or is not there any more."""
        stored = self._records.named(table)
        if stored is None:
            return False
        every = f"SELECT {', '.join(stored.names)} FROM {stored.name}"  # noqa: S608 -- as declared
        with reading():
            row = await self._pool.fetchrow(
                f"{every} WHERE merchant = $1 AND id = $2", merchant, record_id
            )
        try:
            if row is not None:
                self._open(stored.record, row)
        except UNREAD:
            return False
        return True

    async def transfer(self, merchant: str, transfer_id: str) -> Transfer | None:
        """The transfer, or None."""
        return await self._one(Transfer, "ledger_transfer", merchant, transfer_id)

    async def idempotency_key(self, merchant: str, key_id: str) -> IdempotencyKey | None:
        """The idempotency key, or None."""
        return await self._one(IdempotencyKey, "idempotency_key", merchant, key_id)

    async def ready(self) -> None:
        """Raises when the database does not answer, or takes no writes of this version."""
        row = await self._fetch("ready")
        assert row is not None, "a function answers"
        if row[0] > WRITER:
            raise Outdated(too_old(row[0]))

    async def _waiting(
        self, query: str, before: datetime, after: WaitingEvent | None, *bounds: object
    ) -> list[WaitingEvent]:
        last = after or WaitingEvent(LONG_AGO, "", "")
        rows = await self._search(query, before, *last, *bounds)
        return [WaitingEvent(row["updated_at"], row["merchant"], row["id"]) for row in rows]
