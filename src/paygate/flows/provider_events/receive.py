"""Receive a provider event: verify, store, acknowledge. An event that changes nothing ends in the
commit that stores it; all others are enqueued by that commit, and applied later.

A signed delivery is always stored, even one that nobody can read: refused, it would only come again
until the provider gives up. Applying such an event makes it a dead letter, with an alert. Card
numbers in its texts are masked before anything is done with it, and counted.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from paygate.domain import provider_event
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry, Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import Context, Patience
from paygate.flows.payments.attempt.begin import is_under_way
from paygate.flows.provider_events.apply import end
from paygate.flows.provider_events.look import About, Ended, PutOff, Seen, look
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.providers.contract import Notice, SignatureError
from paygate.storage.change import Change, Committed, Conflict, Reason, Verdict
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.unreadable import UNREAD
from paygate.telemetry import log

ACCOUNT: str = DEFAULT_MERCHANT
"""The merchant of all received events, which belong to the provider's account: whose payment an
event is about is found when it is applied."""
UNREADABLE: Final = "unreadable"
"""The type of what was signed and is no event that we can read."""
AT_ONCE: Final = 20
"""Events of a list that are stored at once: a commit takes more than that together."""
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
    try:
        ctx.provider.verify_event(body, headers, ctx.now())
    except SignatureError as error:
        raise Refusal(ErrorCode.SIGNATURE_INVALID, str(error)) from None
    read = _read(ctx, body)
    if not await _receive(ctx, caller, read):
        await _known(ctx, caller, read.name)


async def _receive(ctx: Context, caller: Caller, read: "_Read") -> bool:
    """Whether the event is stored now; False when it was before.

    Raises:
        Refusal: `overloaded` while a twin's commit does not come to an end: whoever brought it is
            to come again, for the twin may yet fail.
    """
    event = _event(ctx, read, ctx.now())
    subject = Subject("provider_event", event.id)
    details = {"card_numbers_masked": str(read.masked)} if read.masked else {}
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, subject, details=details)
    verdict = await _store(ctx, audit, event, await _seen(ctx, event, read.notice))
    if not isinstance(verdict, Conflict):
        if read.masked:
            log.logger().warning(
                "card_numbers_masked", provider_event=event.id, counted=read.masked
            )
        return True
    if verdict.reason is not Reason.CLAIMED:
        raise Refusal(ErrorCode.OVERLOADED, "the same event is being stored", retry_after_seconds=1)
    return False


class Listed(NamedTuple):
    """What became of events that the provider's list shows: how many are stored now, and were
    before; and under what names those of now that are in no shape that we can read.
    """

    new: int
    known: int
    unreadable: tuple[str, ...] = ()


class Named(NamedTuple):
    """What an event is stored under, and when the provider made it, where it says so."""

    name: str
    created_at: datetime | None


def name_of(ctx: Context, body: bytes) -> Named:
    """The name of an event that the provider lists."""
    read = _read(ctx, body)
    return Named(read.name, None if read.notice is None else read.notice.created_at)


async def receive_listed_events(ctx: Context, caller: Caller, bodies: Sequence[bytes]) -> Listed:
    """Store the events of a page of the provider's list that no delivery has brought, each as if it
    had been delivered. `bodies` are the single events as the list shows them.

    One that is stored already costs nothing and is no duplicate: nobody delivered it. One that
    cannot be read is known by its bytes, and becomes a dead letter with an alert.

    Raises:
        Refusal: `overloaded` while the delivery of one is being stored; some may be stored.
        StorageError: the same.
    """
    found = {read.name: read for read in (_read(ctx, body) for body in bodies)}
    known = await ctx.read.provider_events_known(ACCOUNT, list(found))
    fresh = {name: each for name, each in found.items() if name not in known}
    at_once = asyncio.Semaphore(AT_ONCE)

    async def receive(read: _Read) -> bool:
        async with at_once:
            return await _receive(ctx, caller, read)

    stored = await asyncio.gather(*map(receive, fresh.values()))
    new = [name for name, now in zip(fresh, stored, strict=True) if now]
    unreadable = tuple(name for name in new if found[name].notice is None)
    return Listed(len(new), len(found) - len(new), unreadable)


class _Read(NamedTuple):
    """A delivery as it is kept, without card numbers, and what that says: what is read later is
    read of the same bytes.
    """

    body: bytes
    notice: Notice | None
    """None: it is no event that we can read."""
    masked: int
    """How many of its texts held card numbers."""

    @property
    def name(self) -> str:
        """What the event is stored under. One that cannot be read, not under the id that it may
        bear: the event of that id may come in better shape.
        """
        if self.notice is None:
            return f"sha256:{hashlib.sha256(self.body).hexdigest()}"
        return self.notice.provider_reference


def _read(ctx: Context, body: bytes) -> _Read:
    body, texts = ctx.provider.masked_event(body)
    try:
        return _Read(body, ctx.provider.read_event(body), texts)
    except ValueError:
        return _Read(body, None, texts)


def _event(ctx: Context, read: _Read, now: datetime) -> ProviderEvent:
    notice = read.notice
    created_at = None if notice is None else notice.created_at
    return ProviderEvent(
        id=ctx.new_id("provider_event"),
        merchant=ACCOUNT,
        provider_reference=read.name,
        type=UNREADABLE if notice is None else notice.type,
        status=EventStatus.RECEIVED,
        provider_created_at=created_at or now,
        received_at=now,
        updated_at=now,
        body=read.body,
    )


async def _seen(ctx: Context, event: ProviderEvent, notice: Notice | None) -> Ended | None:
    """How the event ends at once, or None: a job must apply it. The delivery is held for a moment
    while its payment's own answer is under way, which mostly says the same.
    """
    if notice is None:
        return None
    seen: Seen | None = None
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


def _under_way(ctx: Context, seen: Seen) -> Attempt | None:
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
    """Count a delivery of an event which we have, so that it is acknowledged as safely as the first
    time: a commit is on the standby only after all that came before it. What nobody came to apply
    is enqueued again, for its job may be gone.
    """
    patience = Patience("an event kept changing while a delivery of it was counted")
    subject = None
    while True:
        try:
            event = await ctx.read.provider_event_by_provider_reference(ACCOUNT, provider_reference)
        except UNREAD as error:
            # The acknowledgement is for the event, which is there; the sweep sees to the rest.
            log.logger().error("event_not_counted", error=error)
            break
        if event is None:
            break
        subject = Subject("provider_event", event.id)
        audit = ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, subject)
        jobs = (Job(ApplyProviderEvent(ACCOUNT, event.id)),) if _is_due(ctx, event) else ()
        counted = Change(audit, advances=(provider_event.delivered_again(event),), jobs=jobs)
        if isinstance(await ctx.door.commit(counted), Committed):
            return
        if not await patience.lasts():
            break
    await ctx.door.commit(Change(ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, subject)))


def _is_due(ctx: Context, event: ProviderEvent) -> bool:
    """Whether an event that is stored waits for somebody to apply it."""
    return event.status in provider_event.WAITING and provider_event.waits(event, ctx.now()) is None
