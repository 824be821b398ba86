"""Erase a customer: the record's details at once, then all that others keep of the person.

The first commit empties the record and says that the erasure has begun; from then on nobody pays as
this customer any more, and the schema lets what is about their payments be overwritten. The
request goes on with it where that is little, and a job in any case, from the beginning each time:
every step leaves alone what is done. That the customer is erased is said by the last commit, once
a whole pass found nothing left. What cannot be read, or waits still, is waited for.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from paygate.domain import customer as customers
from paygate.domain import event as events
from paygate.domain import idempotency
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.audit import Subject
from paygate.domain.customer import Customer
from paygate.domain.disputes.dispute import Dispute, move, without_evidence
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import OPEN, without_addresses
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context, Patience
from paygate.flows.customers.read import find_customer
from paygate.jobs.messages import EraseCustomer, Job
from paygate.storage.change import Change, Committed, Versioned
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.unreadable import Unread

PAGE: Final = 200
"""Payments that are gone through at once; a request waits for no more than these."""
BODIES: Final = 500
"""Provider events whose bodies are deleted in one statement, of some ten milliseconds."""
NAMED: Final = 10
"""Open objects that a refusal names."""
AT_ONCE: Final = 20
"""Commits beside each other, so few that payments have the door to themselves."""
JOB_AFTER: Final = timedelta(seconds=15)
"""The request has done it by then, or its process is gone."""
LOOK_AGAIN_AFTER: Final = timedelta(minutes=1)
"""Provider events are applied within seconds, and deliveries are tried for three days."""
JOB: Final = "erase-customer"


async def erase_customer(ctx: Context, caller: Caller, customer_id: str) -> Customer:
    """The customer without details; `erased_at` says that all else is gone too. Without it a job
    is still at work. Erased again, what came since goes, and `erased_at` stays.

    Raises:
        Refusal: `resource_missing`; `customer_in_use` while a payment, refund or dispute is open.
    """
    patience = Patience("the customer kept changing while they were to be erased")
    while True:
        customer = await find_customer(ctx, caller.merchant, customer_id, param="id")
        await _check_unused(ctx, customer)
        begun = customer
        if customer.erasure_began_at is None:
            begun = customers.erasing(customer, ctx.now())
        change = Change(
            ctx.audit(caller, Action.CUSTOMER_ERASE, Subject("customer", customer.id)),
            advances=() if begun is customer else (begun,),
            jobs=(Job(EraseCustomer(customer.merchant, customer.id), JOB_AFTER),),
        )
        if isinstance(await ctx.door.commit(change), Committed):
            break
        await patience.pause()
    few = await ctx.erasure.payments(begun.merchant, begun.id, "", PAGE)
    if len(few) < PAGE:
        await _Eraser(ctx, caller, begun).run()
    return await find_customer(ctx, caller.merchant, customer_id, param="id")


async def erase_as_asked(ctx: Context, message: EraseCustomer) -> timedelta | None:
    """Go on with an erasure that has begun. Returns how long to wait for what keeps it; None when
    the customer is erased.
    """
    caller = Caller(Actor("job", name=JOB), message.merchant, message.customer)
    customer = await find_customer(ctx, message.merchant, message.customer, param="id")
    return None if await _Eraser(ctx, caller, customer).run() else LOOK_AGAIN_AFTER


async def delete_bodies_of_erased(
    ctx: Context, merchant: str, customer_id: str, days: timedelta
) -> int:
    """Delete the bodies of provider events that came in the last days for an erased customer's
    payments; how many there were.
    """
    deleted, last, since = 0, "", ctx.now() - days
    while payments := await ctx.erasure.payments(merchant, customer_id, last, PAGE):
        objects, last = await ctx.erasure.objects(merchant, payments), payments[-1]
        while count := await ctx.erasure.delete_bodies(DEFAULT_MERCHANT, objects, BODIES, since):
            deleted += count
    return deleted


async def _check_unused(ctx: Context, customer: Customer) -> None:
    found = await ctx.erasure.open_objects(customer.merchant, customer.id, NAMED + 1)
    if found:
        named = ", ".join(each.id for each in found[:NAMED])
        more = ", and more" if len(found) > NAMED else ""
        raise Refusal(
            ErrorCode.CUSTOMER_IN_USE,
            f"the customer is erased when these have come to their end: {named}{more}",
            param="id",
        )


class _Eraser:
    """One pass over all that is kept of a customer whose erasure has begun."""

    def __init__(self, ctx: Context, caller: Caller, customer: Customer) -> None:
        assert customer.erasure_began_at is not None, "the schema would refuse"
        self._ctx = ctx
        self._caller = caller
        self._customer = customer
        self._merchant = customer.merchant
        self._left = 0
        """What this pass had to leave where it is."""

    async def run(self) -> bool:
        """Whether nothing is left, and the customer's record says so."""
        ctx, last = self._ctx, ""
        while payments := await ctx.erasure.payments(self._merchant, self._customer.id, last, PAGE):
            last = payments[-1]
            await self._payments(payments)
        await self._responses()
        # A payment that was created beside the first commit is open until it ends.
        open_ones = await ctx.erasure.open_objects(self._merchant, self._customer.id, 1)
        if self._left or open_ones:
            return False
        return await self._conclude()

    async def _conclude(self) -> bool:
        ctx = self._ctx
        customer = await find_customer(ctx, self._merchant, self._customer.id, param="id")
        if customer.erased_at is not None:
            return True
        return await self._advance(customers.erased(customer, ctx.now()))

    async def _payments(self, payments: Sequence[str]) -> None:
        """What is kept of some of the customer's payments. Those that are open are left alone, with
        all that is about them.
        """
        ctx = self._ctx
        objects = await ctx.erasure.objects(self._merchant, payments)
        await self._addresses(payments)
        await self._evidence(payments)
        await self._told(objects)
        self._left += await ctx.erasure.waiting_events(DEFAULT_MERCHANT, objects)
        while await ctx.erasure.delete_bodies(DEFAULT_MERCHANT, objects, BODIES):
            pass

    async def _addresses(self, payments: Sequence[str]) -> None:
        """Where from and with what payers agreed to be debited."""
        attempts, unread = await self._ctx.erasure.attempts(self._merchant, payments)
        await self._tell_of(unread)
        now = self._ctx.now()
        closed = [attempt for attempt in attempts if attempt.state not in OPEN]
        bare = [without_addresses(attempt, now) for attempt in closed]
        await self._advance_each([attempt for attempt in bare if attempt is not None])

    async def _evidence(self, payments: Sequence[str]) -> None:
        """Texts and files of closed disputes. The files go first: while the record names them, a
        pass that was cut off finds them again.
        """
        ctx = self._ctx
        disputes, unread = await ctx.erasure.disputes(self._merchant, payments)
        await self._tell_of(unread)
        bare: list[Dispute] = []
        for dispute in disputes:
            if dispute.is_open or dispute.pending_operation is not None:
                continue
            for file in dispute.files:
                await ctx.dispute_files.delete(dispute.merchant, file.id)
            empty = without_evidence(dispute)
            if empty != dispute:
                changes = {"texts": empty.texts, "files": empty.files, "refusals": empty.refusals}
                bare.append(move(dispute, ctx.now(), **changes))
        await self._advance_each(bare)

    async def _told(self, objects: Sequence[str]) -> None:
        """What merchants' events and webhooks say of it. The webhook's body goes first: it is found
        by the event, while that still says something.
        """
        ctx = self._ctx
        found, unread = await ctx.erasure.events(self._merchant, objects)
        await self._tell_of(unread)
        for each in found:
            bare = events.without_person(each.event)
            if bare == each.event:
                continue
            if await ctx.erasure.delete_webhook_body(self._merchant, each.event.id):
                self._left += 1  # it is on its way to the merchant
            elif not await ctx.erasure.overwrite_event(each, bare):
                self._left += 1

    async def _responses(self) -> None:
        """Stored responses about the customer's payments, refunds and disputes."""
        ctx, last = self._ctx, ""
        while True:
            keys, unread, place = await ctx.erasure.responses(
                self._merchant, self._customer.id, last, PAGE
            )
            await self._tell_of(unread)
            now = ctx.now()
            kept = [key for key in keys if not key.erased]
            await self._advance_each([idempotency.without_response(key, now) for key in kept])
            if place is None:
                return
            last = place

    async def _advance_each(self, records: Sequence[Versioned]) -> None:
        for first in range(0, len(records), AT_ONCE):
            some = records[first : first + AT_ONCE]
            done = await asyncio.gather(*map(self._advance, some))
            self._left += done.count(False)

    async def _advance(self, record: Versioned) -> bool:
        """Commit a record; False when another commit was first. The entry says whose erasure it
        was, and nothing of what is gone.
        """
        subject = Subject("customer", self._customer.id)
        audit = self._ctx.audit(self._caller, Action.CUSTOMER_ERASE, subject)
        change = Change(audit, advances=(record,))
        return isinstance(await self._ctx.door.commit(change), Committed)

    async def _tell_of(self, unread: Sequence[Unread]) -> None:
        """What cannot be read may hold anything: people are told, and it is waited for."""
        self._left += len(unread)
        for fault in unread:
            await report_unreadable(self._ctx, self._caller, fault)
