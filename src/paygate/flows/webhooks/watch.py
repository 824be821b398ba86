"""Watch webhook endpoints: since when one fails, that somebody is told, and when it is given up."""

from datetime import timedelta
from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.webhooks.delivery import RETRY_FOR
from paygate.domain.webhooks.endpoint import (
    DisabledBecause,
    WebhookEndpoint,
    changed,
    disabled,
)
from paygate.flows.alerts.raise_alert import occurrence, raise_alert, to_raise
from paygate.flows.context import Context, Patience
from paygate.flows.sweep import Sweep
from paygate.flows.webhooks.read import endpoint_subject
from paygate.storage.change import Change, Committed

PAGE: Final = 200
TELL_AFTER: Final = timedelta(hours=1)
"""A deployment of the receiver's takes minutes, and is nobody's concern."""
GIVE_UP_AFTER: Final = RETRY_FOR


class Watched(NamedTuple):
    """How many endpoints have failed for an hour, and how many of those were disabled."""

    failing: int
    disabled: int


async def watch_webhook_endpoints(ctx: Context, run_id: str) -> Watched:
    """Look at every endpoint that is enabled."""
    sweep = Sweep(ctx, "watch-webhook-endpoints", run_id)
    failing = given_up = 0
    async for endpoint in sweep.every(ctx.webhooks.webhook_endpoints_enabled, PAGE):
        with sweep:
            since = endpoint.failing_since
            if since is None or ctx.now() - since < TELL_AFTER:
                continue
            failing += 1
            caller = sweep.caller(endpoint.merchant)
            if ctx.now() - since >= GIVE_UP_AFTER:
                given_up += await disable_endpoint(ctx, caller, endpoint, DisabledBecause.FAILING)
            else:
                await raise_alert(ctx, caller, _failing(endpoint))
    await sweep.end()
    return Watched(failing, given_up)


async def note_failure(ctx: Context, caller: Caller, endpoint: WebhookEndpoint) -> bool:
    """Write down that nothing is delivered any more, unless it is known; False when the endpoint
    has moved on.
    """
    return await _note(ctx, caller, changed(endpoint, ctx.now(), failing_since=ctx.now()))


async def note_success(ctx: Context, caller: Caller, endpoint: WebhookEndpoint) -> bool:
    """Write down that something is delivered again; False when the endpoint has moved on."""
    return await _note(ctx, caller, changed(endpoint, ctx.now(), failing_since=None))


async def disable_endpoint(
    ctx: Context, caller: Caller, endpoint: WebhookEndpoint, because: DisabledBecause
) -> bool:
    """Disable an endpoint, with an alert in the same commit; False when it has moved on."""
    after = disabled(endpoint, because, ctx.now())
    alert = occurrence(ctx, after.merchant, _given_up(after))
    audit = ctx.audit(
        caller,
        Action.WEBHOOK_ENDPOINT_WATCH,
        endpoint_subject(after.id),
        details={"disabled": because},
    )
    change = Change(audit, creates=(alert,), advances=(after,), jobs=to_raise(alert))
    return isinstance(await ctx.door.commit(change), Committed)


async def disable_gone(ctx: Context, caller: Caller, asked: WebhookEndpoint) -> bool:
    """Disable an endpoint whose receiver answered 410, whatever else is changed of it meanwhile;
    False when it leads elsewhere by now, where nobody said so.

    Raises:
        Overloaded: it kept changing.
    """
    patience = Patience("a webhook endpoint kept changing")
    endpoint: WebhookEndpoint | None = asked
    while endpoint is not None and endpoint.enabled:
        if endpoint.url != asked.url:
            return False
        if await disable_endpoint(ctx, caller, endpoint, DisabledBecause.GONE):
            return True
        await patience.pause()
        endpoint = await ctx.webhooks.webhook_endpoint(asked.merchant, asked.id)
    return True


async def _note(ctx: Context, caller: Caller, after: WebhookEndpoint) -> bool:
    details = {"failing": str(after.failing_since is not None).lower()}
    subject = endpoint_subject(after.id)
    audit = ctx.audit(caller, Action.WEBHOOK_ENDPOINT_WATCH, subject, details=details)
    return isinstance(await ctx.door.commit(Change(audit, advances=(after,))), Committed)


def _failing(endpoint: WebhookEndpoint) -> Problem:
    assert endpoint.failing_since is not None, "it is said of those that fail"
    return Problem(
        type=AlertType.MERCHANT_WEBHOOK_FAILING,
        subject=endpoint_subject(endpoint.id),
        severity="warning",
        message=f"nothing was delivered to a webhook endpoint since {endpoint.failing_since}",
        what_to_do="Look at its deliveries for what it answers, and mend the receiver. After three"
        " days it is disabled.",
        due_at=endpoint.failing_since + GIVE_UP_AFTER,
    )


def _given_up(endpoint: WebhookEndpoint) -> Problem:
    gone = endpoint.disabled_because is DisabledBecause.GONE
    return Problem(
        type=AlertType.MERCHANT_WEBHOOK_FAILING,
        subject=endpoint_subject(endpoint.id),
        severity="critical",
        message="a webhook endpoint was disabled: "
        + ("it answered 410" if gone else "nothing was delivered to it for three days"),
        what_to_do="Mend the receiver, enable the endpoint, and have what it missed sent again"
        " (`paygate webhooks resend`); or delete it.",
        stage="disabled",
    )
