"""Receive a provider event: verify, store, enqueue, acknowledge. Its meaning is found later.

Whatever is signed is stored, what nobody can read too: refused, it would only come again until the
provider gives up. Applying it makes it a dead letter, and that is told.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from paygate.domain import provider_event
from paygate.domain.access import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import Context
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.providers.contract import SignatureError
from paygate.storage.change import Change, Reason, Refused, StorageError, Verdict
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.unreadable import Unreadable
from paygate.telemetry import log

ACCOUNT: str = DEFAULT_MERCHANT
"""Events belong to the provider's account; whose payment one is about is found on applying it."""
UNREADABLE: Final = "unreadable"
"""The type of what was signed and is no event that we can read."""
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
    """
    now = ctx.now()
    try:
        ctx.provider.verify_event(body, headers, now)
    except SignatureError as error:
        raise Refusal(ErrorCode.SIGNATURE_INVALID, str(error)) from None
    event = _event(ctx, body, now)
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, Subject("provider_event", event.id))
    verdict = await _commit(
        ctx, Change(audit, creates=(event,), jobs=(Job(ApplyProviderEvent(ACCOUNT, event.id)),))
    )
    if not isinstance(verdict, Refused):
        return
    if verdict.reason is not Reason.CLAIMED:
        # The twin may yet fail, so the provider is told to come again.
        raise Refusal(ErrorCode.OVERLOADED, "the same event is being stored", retry_after_seconds=1)
    try:
        await _enqueue_again(ctx, caller, event.provider_reference)
    except (StorageError, Unreadable) as error:
        # The acknowledgement is for the event, which is durable; the sweep sees to the rest.
        log.logger().error("event_not_enqueued_again", error=error)


def _event(ctx: Context, body: bytes, now: datetime) -> ProviderEvent:
    try:
        notice = ctx.provider.read_event(body)
    except ValueError:
        # Not under the id that it may bear: the event of that id may come in better shape.
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


async def _commit(ctx: Context, change: Change) -> Verdict:
    """The verdict on storing it, once a twin that is being written is there or is not."""
    verdict = await ctx.door.commit(change)
    for seconds in TWIN_WAITS:
        if not isinstance(verdict, Refused) or verdict.reason is not Reason.BUSY:
            break
        await asyncio.sleep(seconds)
        verdict = await ctx.door.commit(change)
    return verdict


async def _enqueue_again(ctx: Context, caller: Caller, provider_reference: str) -> None:
    """A delivery of an event that we have and did not come to apply: its job may be gone."""
    event = await ctx.read.provider_event_by_provider_reference(ACCOUNT, provider_reference)
    if event is None or event.status is not EventStatus.RECEIVED:
        return
    if provider_event.waits(event, ctx.now()):
        return
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, Subject("provider_event", event.id))
    await ctx.door.commit(Change(audit, jobs=(Job(ApplyProviderEvent(ACCOUNT, event.id)),)))
