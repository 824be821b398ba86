"""A payer returns from a challenge: ask the provider, conclude, send the payer on to the merchant.

The address that the payer comes by says whose challenge it was, signed, and nothing else in it is
believed. How the challenge ended the provider says, never the browser. A concluded payment stays as
it is: a second visit, or a late one, is shown the way and changes nothing.
"""

from datetime import timedelta
from typing import Final

import msgspec

from paygate.crypto.callback_states import CallbackState
from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.payments.attempt import OPEN, Attempt
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.domain.payments.payment_intent import Status
from paygate.domain.payments.return_url import with_parameters
from paygate.flows.context import Context, intent_subject
from paygate.flows.payments.attempt.conclude import conclude_attempt
from paygate.flows.payments.attempt.work import Work, reread
from paygate.providers.absence import Absent
from paygate.storage.change import Change, StorageError
from paygate.telemetry import timing

ASK_SECONDS: Final = 4.0
TIE_SECONDS: Final = 1.0
"""The last of five seconds in all, in which the payer looks at a blank page. This second is for an
answer of the same second as the newest known fact: `conclude_attempt` then asks once more."""
LATE: Final = timedelta(hours=1)
"""Time to come back for a payer who answers the challenge in its last moment."""


async def complete_authentication(
    ctx: Context, caller: Caller, intent_id: str, state: str | None
) -> str:
    """The merchant's page to send the payer to, with the intent's id and status as a hint.

    `caller` has proven nothing; the merchant is the state's.

    Raises:
        Refusal: `callback_state_invalid`, alike for a forged state, another intent's, and one of
            an attempt that is not there.
    """
    signed = _open(ctx, intent_id, state)
    found = await ctx.read.attempt_with_intent(signed.merchant, signed.attempt)
    if found is None:
        raise _invalid()
    intent, attempt = found
    if intent.id != intent_id or attempt.return_url is None:
        raise _invalid()
    caller = msgspec.structs.replace(caller, merchant=signed.merchant)
    subject = intent_subject(intent.id)
    await ctx.door.commit(Change(ctx.audit(caller, Action.INTENT_AUTHENTICATE, subject)))
    status = intent.status
    if attempt.state in OPEN and ctx.now().timestamp() < signed.expires_at:
        try:
            work = Work(caller, Action.INTENT_AUTHENTICATE, intent, attempt)
            status = await _status_once_concluded(ctx, work)
        except StorageError:
            status = Status.PROCESSING  # the payer goes on, and so does the event or the sweep
    return with_parameters(attempt.return_url, {"payment_intent": intent.id, "status": status})


def callback_url(ctx: Context, attempt: Attempt) -> str | None:
    """Where the provider sends the payer of this attempt; None when we are not reachable."""
    if ctx.policy.public_url is None or attempt.return_url is None:
        return None
    expires_at = attempt.created_at + ctx.policy.authentication_ttl + LATE
    state = CallbackState(attempt.merchant, attempt.id, int(expires_at.timestamp()))
    signed = ctx.callback_states.make(attempt.intent, state)
    return f"{ctx.policy.public_url}/payment-intents/{attempt.intent}/3ds-callback?state={signed}"


def _open(ctx: Context, intent_id: str, state: str | None) -> CallbackState:
    signed = None
    if state is not None and is_id(PREFIXES["payment_intent"], intent_id):
        signed = ctx.callback_states.open(intent_id, state)
    if signed is None:
        raise _invalid()
    return signed


async def _status_once_concluded(ctx: Context, work: Work) -> Status:
    """The intent's status once the provider was asked; `processing` when there was no answer."""
    answer = await _ask(ctx, work.attempt)
    if answer is None:
        work = await reread(ctx, work)  # an event may have told meanwhile
        return Status.PROCESSING if work.attempt.state in OPEN else work.intent.status
    policy = msgspec.structs.replace(ctx.policy, provider_timeout_seconds=TIE_SECONDS)
    hurried = msgspec.structs.replace(ctx, policy=policy)
    return (await conclude_attempt(hurried, work, answer)).status


async def _ask(ctx: Context, attempt: Attempt) -> Answer | None:
    """What the provider says of the attempt's payment; None when the provider says nothing."""
    if attempt.provider_reference is None:
        return None
    timeout_seconds = min(ASK_SECONDS, ctx.policy.provider_timeout_seconds)
    with timing.spent(timing.Part.PROVIDER):
        answer = await ctx.provider.retrieve(
            attempt.provider_reference, timeout_seconds=timeout_seconds
        )
    if isinstance(answer, Absent) or isinstance(answer.outcome, Unknown):
        return None
    return answer


def _invalid() -> Refusal:
    return Refusal(ErrorCode.CALLBACK_STATE_INVALID, "this is not an address that we made")
