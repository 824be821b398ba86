"""Our side of settlement: the payments, refunds and disputes that lines are for, many at a time."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from paygate.domain.disputes.dispute import Dispute
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund
from paygate.storage.pages import Place, Stretch, first_id
from paygate.storage.reading import Reading
from paygate.storage.stored import Hash
from paygate.storage.tables import DISPUTE_REFERENCE, PAYMENT, REFUND_REFERENCE
from paygate.storage.unreadable import UNREAD, Unread

R = TypeVar("R", PaymentIntent, Refund, Dispute)
S = TypeVar("S", PaymentIntent, Refund, Dispute, Attempt)


class Found(NamedTuple, Generic[R]):
    """Records by the provider's ids; the provider's ids of those that cannot be read, and why."""

    records: Mapping[str, R]
    hidden: frozenset[str]
    unread: tuple[Unread, ...]


Key = tuple[str, str]
"""A merchant, and a record's id."""


class SettlementFacts(Reading):
    """Raises `Unavailable` when the database does not answer."""

    async def payments(self, references: Collection[str]) -> Found[PaymentIntent]:
        """The intents of all merchants that rest on these payments of the provider's."""
        return await self._found(PaymentIntent, "payments_found", PAYMENT, references)

    async def refunds(self, references: Collection[str]) -> Found[Refund]:
        """The refunds of all merchants to which the provider gave these ids."""
        return await self._found(Refund, "refunds_found", REFUND_REFERENCE, references)

    async def disputes(self, references: Collection[str]) -> Found[Dispute]:
        """The disputes of all merchants to which the provider gave these ids."""
        return await self._found(Dispute, "disputes_found", DISPUTE_REFERENCE, references)

    async def attempts(self, keys: Iterable[Key]) -> tuple[Mapping[Key, Attempt], list[Unread]]:
        """The attempts of these ids, and why others could not be read."""
        return await self._by_key(Attempt, "attempts_by_ids", keys)

    async def payments_by_id(
        self, keys: Iterable[Key]
    ) -> tuple[Mapping[Key, PaymentIntent], list[Unread]]:
        """The intents of these ids, and why others could not be read."""
        return await self._by_key(PaymentIntent, "payment_intents_by_ids", keys)

    async def refunds_by_id(self, keys: Iterable[Key]) -> tuple[Mapping[Key, Refund], list[Unread]]:
        """The refunds of these ids, and why others could not be read."""
        return await self._by_key(Refund, "refunds_by_ids", keys)

    async def disputes_by_id(
        self, keys: Iterable[Key]
    ) -> tuple[Mapping[Key, Dispute], list[Unread]]:
        """The disputes of these ids, and why others could not be read."""
        return await self._by_key(Dispute, "disputes_by_ids", keys)

    async def facts_of_payment(self, intent_id: str) -> list[str]:
        """The id of a payment, and those of its refunds and disputes."""
        rows = await self._search("facts_of_payment", intent_id)
        return [intent_id, *(row["id"] for row in rows)]

    async def first_confirmed(self) -> datetime | None:
        """When the oldest payment that the provider has was created; None: it has none of ours."""
        (row,) = await self._search("first_payment_confirmed")
        first: datetime | None = row["first"]
        return first

    async def payments_unsettled(
        self, account: str, since: datetime, until: datetime, after: Place | None, limit: int
    ) -> Stretch[PaymentIntent]:
        """Payments created within that time that have no line in any settlement of the merchant
        whose the provider's account is, in the order of merchant and id.
        """
        order = ("merchant", "id")
        bounds = first_id("payment_intent", since), first_id("payment_intent", until)
        return await self._stretch(
            PaymentIntent, "payment_intents_unsettled", order, after, limit, *bounds, account
        )

    async def refunds_unsettled(
        self, account: str, since: datetime, until: datetime, after: Place | None, limit: int
    ) -> Stretch[Refund]:
        """The same for refunds that succeeded, each merchant's oldest first."""
        order = ("merchant", "created_at", "id")
        return await self._stretch(
            Refund, "refunds_unsettled", order, after, limit, since, until, account
        )

    async def disputes_created(
        self, since: datetime, until: datetime, after: Place | None, limit: int
    ) -> Stretch[Dispute]:
        """Disputes recorded within that time, each merchant's oldest first."""
        order = ("merchant", "created_at", "id")
        return await self._stretch(Dispute, "disputes_created", order, after, limit, since, until)

    async def _found(
        self, record: type[R], query: str, by: Hash, references: Collection[str]
    ) -> Found[R]:
        if not references:
            return Found({}, frozenset(), ())
        asked_by = by.found_by(self._records.index, references)
        rows = await self._fetch_all(query, list(asked_by))
        records: dict[str, R] = {}
        hidden: set[str] = set()
        unread: list[Unread] = []
        for row in map(tuple, rows):
            asked = asked_by[row[-2]]
            try:
                opened = self._records.open_found(record, row, by, asked)
            except UNREAD as fault:
                hidden.add(asked)
                unread.append(fault)
            else:
                records[str(opened.provider_reference)] = opened
        return Found(records, frozenset(hidden), tuple(unread))

    async def _by_key(
        self, record: type[S], query: str, keys: Iterable[Key]
    ) -> tuple[Mapping[Key, S], list[Unread]]:
        wanted = set(keys)
        if not wanted:
            return {}, []
        merchants, ids = zip(*wanted, strict=True)
        rows = await self._fetch_all(query, list(merchants), list(ids))
        opened, unread = self._records.open_each(record, map(tuple, rows))
        return {(row.merchant, row.id): row for row in opened}, unread
