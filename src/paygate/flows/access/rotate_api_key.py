"""Rotate an API key: a new one like it, and an end for the old one, in one commit."""

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.access.create_api_key import NewApiKey, key_subject, make_api_key
from paygate.flows.access.read_api_keys import find_api_key
from paygate.flows.context import Context, Patience
from paygate.flows.overlap import read_overlap
from paygate.storage.change import Change, Committed


async def rotate_api_key(ctx: Context, caller: Caller, key_id: str, *, overlap: str) -> NewApiKey:
    """The new key, of the same role and name.

    The old key ends after the overlap, or when it would have ended anyway; the new one has no end.

    Raises:
        Refusal: not found; the overlap is no duration up to seven days; `state_conflict` for a
            key that opens nothing any more.
    """
    beside = read_overlap(overlap)
    patience = Patience("an API key kept changing")
    while True:
        old = await find_api_key(ctx, caller.merchant, key_id)
        now = ctx.now()
        if not old.valid_at(now):
            raise Refusal(
                ErrorCode.STATE_CONFLICT,
                f"the API key {'is revoked' if old.revoked_at else 'has expired'}:"
                " create a new one instead",
                subject=old,
            )
        made = make_api_key(ctx, old.merchant, role=old.role, name=old.name)
        ends = min(now + beside, old.expires_at or now + beside)
        ended = msgspec.structs.replace(
            old, version=old.version + 1, expires_at=ends, updated_at=now
        )
        audit = ctx.audit(
            caller,
            Action.API_KEY_ROTATE,
            key_subject(old.id),
            details={"new": made.key.id, "expires_at": ends.isoformat()},
        )
        change = Change(audit, creates=(made.key,), advances=(ended,), response=made)
        if isinstance(await ctx.door.commit(change), Committed):
            return made
        await patience.pause()
