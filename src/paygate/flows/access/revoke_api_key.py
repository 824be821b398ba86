"""Revoke an API key: it opens nothing from the next look-up on, and never again."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Action, Caller
from paygate.flows.access.create_api_key import key_subject
from paygate.flows.access.read_api_keys import find_api_key
from paygate.flows.context import Context, Patience
from paygate.storage.change import Change, Committed


class Revoked(NamedTuple):
    """The key as it ended, and its last use."""

    key: ApiKey
    last_used_at: datetime | None


async def revoke_api_key(ctx: Context, caller: Caller, key_id: str) -> Revoked:
    """The key with its `revoked_at`, the first one's if there were several.

    Raises:
        Refusal: `resource_missing`.
    """
    patience = Patience("an API key kept changing")
    while True:
        key = await find_api_key(ctx, caller.merchant, key_id)
        last_used_at = (await ctx.read.api_key_uses([key.id])).get(key.id)
        audit = ctx.audit(caller, Action.API_KEY_REVOKE, key_subject(key.id))
        if key.revoked_at is not None:
            found = Revoked(key, last_used_at)
            await ctx.door.commit(Change(audit, response=found))
            return found
        now = ctx.now()
        revoked = msgspec.structs.replace(
            key, version=key.version + 1, revoked_at=now, updated_at=now
        )
        ended = Revoked(revoked, last_used_at)
        change = Change(audit, advances=(revoked,), response=ended)
        if isinstance(await ctx.door.commit(change), Committed):
            return ended
        await patience.pause()
