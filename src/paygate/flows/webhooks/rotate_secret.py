"""Rotate an endpoint's secret: a new one signs at once, the older ones beside it for a while."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.webhooks.endpoint import SECRET_BYTES, SECRETS, WebhookEndpoint, rotated
from paygate.flows.context import Context, Patience
from paygate.flows.overlap import read_overlap
from paygate.flows.webhooks.read import endpoint_subject, find_webhook_endpoint
from paygate.storage.change import Change, Committed


async def rotate_webhook_secret(
    ctx: Context, caller: Caller, endpoint_id: str, *, overlap: str
) -> WebhookEndpoint:
    """The endpoint, whose first secret is the new one.

    What waits to be sent is signed when it is sent, so with the new secret too. An overlap of `0s`
    ends every older secret at once.

    Raises:
        Refusal: not found; the overlap is no duration up to seven days; `state_conflict` when so
            many secrets are live that no more are taken.
    """
    beside = read_overlap(overlap)
    patience = Patience("a webhook endpoint kept changing")
    while True:
        endpoint = await find_webhook_endpoint(ctx, caller.merchant, endpoint_id)
        now = ctx.now()
        after = rotated(endpoint, ctx.random_bytes(SECRET_BYTES), beside, now)
        if len(after.live_secrets(now)) > SECRETS:
            raise Refusal(
                ErrorCode.STATE_CONFLICT,
                f"{SECRETS} secrets of this endpoint are live: wait for the end of one, or rotate"
                " with an overlap of 0s, which ends all of them",
            )
        audit = ctx.audit(
            caller,
            Action.WEBHOOK_ENDPOINT_ROTATE,
            endpoint_subject(endpoint.id),
            details={"overlap": overlap},
        )
        change = Change(audit, advances=(after,), response=after)
        if isinstance(await ctx.door.commit(change), Committed):
            return after
        await patience.pause()
