"""Receive a provider event: verify, store, enqueue, acknowledge. Its meaning is found later."""

from collections.abc import Mapping

from paygate.domain.access import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import Context
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.providers.contract import SignatureError
from paygate.storage.change import Change, Reason, Refused
from paygate.storage.installation import DEFAULT_MERCHANT

ACCOUNT: str = DEFAULT_MERCHANT
"""Events belong to the provider's account; whose payment one is about is found on applying it."""


async def receive_provider_event(
    ctx: Context, caller: Caller, body: bytes, headers: Mapping[str, str]
) -> None:
    """Store the event once, however often it is delivered.

    `body` is the raw bytes that were signed; `headers` have lower-case names.

    Raises:
        Refusal: `signature_invalid`, or `parameter_invalid` for what is signed but no event;
            nothing is stored.
    """
    now = ctx.now()
    try:
        notice = ctx.provider.open_event(body, headers, now)
    except SignatureError as error:
        raise Refusal(ErrorCode.SIGNATURE_INVALID, str(error)) from None
    except ValueError:
        raise Refusal(ErrorCode.PARAMETER_INVALID, "the signed body is not an event") from None
    event = ProviderEvent(
        id=ctx.new_id("provider_event"),
        merchant=ACCOUNT,
        provider_reference=notice.provider_reference,
        type=notice.type,
        status=EventStatus.RECEIVED,
        provider_created_at=notice.created_at,
        received_at=now,
        updated_at=now,
        body=body,
    )
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_RECEIVE, Subject("provider_event", event.id))
    verdict = await ctx.door.commit(
        Change(audit, creates=(event,), jobs=(Job(ApplyProviderEvent(ACCOUNT, event.id)),))
    )
    # Claimed: a duplicate, and the first is durable. Busy: the first is being written just now
    # and may yet fail, so the provider is told to come again.
    if isinstance(verdict, Refused) and verdict.reason is not Reason.CLAIMED:
        raise Refusal(ErrorCode.OVERLOADED, "the same event is being stored", retry_after_seconds=1)
