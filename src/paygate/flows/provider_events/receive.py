"""Receive a provider event: verify, store, acknowledge. An event that changes nothing ends in the
commit that stores it; all others are enqueued by that commit, and applied later.

A signed delivery is always stored, even one that nobody can read: refused, it would only come again
until the provider gives up. Applying such an event makes it a dead letter, with an alert.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from paygate.domain import provider_event
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry, Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import Context
from paygate.flows.payments.attempt.begin import is_under_way
from paygate.flows.provider_events.apply import About, Ended, MoneyLeftWith, PutOff, end, look
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.providers.contract import Notice, SignatureError
from paygate.storage.change import Change, Conflict, Reason, Verdict
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.unreadable import UNREAD
from paygate.telemetry import log

ACCOUNT: str = DEFAULT_MERCHANT
"""The merchant of all received events, which belong to the provider's account: whose payment an
event is about is found when it is applied."""
UNREADABLE: Final = "unreadable"
"""The type of a signed delivery that is no event that we can read."""
TWIN_WAITS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)
"""Seconds between tries while a twin is being written, 2.5 in all: many times a commit to a far
standby, and well within the provider's patience.
"""


async def receive_provider_event(
    ctx: Context, caller: Caller, body: bytes, headers: Mapping[str, str]
) -> None:
    """Store the event once, however often it is delivered.

    `body` is the raw bytes that were signed; `headers` have lower-case names.

    Raises:
        Refusal: `signature_invalid`, or `overloaded` while a twin's commit does not come to an
            end; nothing is stored.
        StorageError: the database could not do it, or does not tell.
    """
    now = ctx.now()
    try:
        ctx.provider.verify_event(body, headers, now)
    except SignatureError as error:
        raise Refusal(ErrorCode.SIGNATURE_INVALID, str(error)) from None
    notice = _read(ctx, body)
    event = _event(ctx, body, notice, now)
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, Subject("provider_event", event.id))
    verdict = await _store(ctx, audit, event, await _seen(ctx, event, notice))
    if not isinstance(verdict, Conflict):
        return
    if verdict.reason is not Reason.CLAIMED:
        # The twin may yet fail, so the provider must come again.
        raise Refusal(ErrorCode.OVERLOADED, "the same event is being stored", retry_after_seconds=1)
    await _known(ctx, caller, event.provider_reference)


def _read(ctx: Context, body: bytes) -> Notice | None:
    """The delivery, or None when it is no event that we can read."""
    try:
        return ctx.provider.read_event(body)
    except ValueError:
        return None


def _event(ctx: Context, body: bytes, notice: Notice | None, now: datetime) -> ProviderEvent:
    if notice is None:
        # Not stored under the id that the body may bear: the event of that id may come in better
        # shape.
        reference, kind, created_at = f"sha256:{hashlib.sha256(body).hexdigest()}", UNREADABLE, None
    else:
        reference, kind, created_at = notice.provider_reference, notice.type, notice.created_at
    return ProviderEvent(
        id=ctx.new_id("provider_event"),
        merchant=ACCOUNT,
        provider_reference=reference,
        type=kind,
        status=EventStatus.RECEIVED,
        provider_created_at=created_at or now,
        received_at=now,
        updated_at=now,
        body=body,
    )


async def _seen(ctx: Context, event: ProviderEvent, notice: Notice | None) -> Ended | None:
    """How the event ends at once, or None: a job must apply it. The delivery is held for a moment
    while its payment's own answer is under way, which mostly says the same.
    """
    if notice is None:
        return None
    seen: Ended | About | MoneyLeftWith | None = None
    # What is about to be applied here need not be looked at before.
    under_way = None if notice.answer is None else ctx.answers.asked(notice.answer.attempt)
    try:
        if under_way is None or not is_under_way(ctx, under_way):
            seen = await look(ctx, notice)
            under_way = _under_way(ctx, seen)
        with ctx.answers.place() as may_be_held:
            for seconds in ctx.answers.waits_seconds if may_be_held else ():
                if under_way is None:
                    break
                await ctx.answers.over(under_way.id, seconds)
                seen = await look(ctx, notice)
                under_way = _under_way(ctx, seen)
    except PutOff:
        return None
    except Exception as error:  # noqa: BLE001 -- applying it meets the same, and counts it
        log.logger().error("event_not_looked_at", provider_event=event.id, error=error)
        return None
    return seen if isinstance(seen, Ended) else None


def _under_way(ctx: Context, seen: Ended | About | MoneyLeftWith) -> Attempt | None:
    """The attempt whose answer an event waits for."""
    return seen.attempt if isinstance(seen, About) and is_under_way(ctx, seen.attempt) else None


async def _store(
    ctx: Context, audit: AuditEntry, event: ProviderEvent, ended: Ended | None
) -> Verdict:
    """Store the event, and return the verdict: with its end, when the payment still stands at the
    version that the end was judged by, else with the job that applies the event.
    """
    if ended is not None:
        verdict = await _commit(ctx, _both_at_once(audit, end(ctx, event, ended)))
        if not isinstance(verdict, Conflict) or verdict.reason is not Reason.STALE:
            return verdict
    job = Job(ApplyProviderEvent(ACCOUNT, event.id))
    return await _commit(ctx, Change(audit, creates=provider_event.apart(event), jobs=(job,)))


def _both_at_once(received: AuditEntry, applied: Change) -> Change:
    """The change that stores a new event as applied at once, with both audit entries."""
    (event,) = applied.advances
    assert isinstance(event, ProviderEvent), "applying an event advances that alone"
    first = msgspec.structs.replace(event, version=1)
    return Change(
        received, creates=(*provider_event.apart(first), applied.audit), stands=applied.stands
    )


async def _commit(ctx: Context, change: Change) -> Verdict:
    """Commit, and return the verdict once a twin that is being written is there or is not."""
    verdict = await ctx.door.commit(change)
    for seconds in TWIN_WAITS:
        if not isinstance(verdict, Conflict) or verdict.reason is not Reason.BUSY:
            break
        await asyncio.sleep(seconds)
        verdict = await ctx.door.commit(change)
    return verdict


async def _known(ctx: Context, caller: Caller, provider_reference: str) -> None:
    """Write down that a known event came again, so that the acknowledgement is as safe as the
    first: a commit is on the standby only after all commits before it. An event that still waits is
    enqueued again, for its job may be gone.
    """
    event = None
    try:
        event = await ctx.read.provider_event_by_provider_reference(ACCOUNT, provider_reference)
    except UNREAD as error:
        # The acknowledgement is for the event, which is there; the sweep sees to the rest.
        log.logger().error("event_not_enqueued_again", error=error)
    subject = None if event is None else Subject("provider_event", event.id)
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, subject)
    jobs = (Job(ApplyProviderEvent(ACCOUNT, event.id)),) if event and _is_due(ctx, event) else ()
    await ctx.door.commit(Change(audit, jobs=jobs))


def _is_due(ctx: Context, event: ProviderEvent) -> bool:
    """Whether an event that is stored waits for somebody to apply it."""
    received = event.status is EventStatus.RECEIVED
    return received and provider_event.waits(event, ctx.now()) is None
