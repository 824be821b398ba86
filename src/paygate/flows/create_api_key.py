"""Create an API key. Its text is returned once and kept nowhere."""

from paygate.crypto.api_keys import KeyMode, KeySide, new_api_key, parse_api_key
from paygate.crypto.secret import Secret
from paygate.domain.access import Action, Caller, Role
from paygate.domain.api_key import ApiKey
from paygate.domain.audit import Subject
from paygate.flows.context import Context
from paygate.storage.change import Change, Committed


async def create_api_key(
    ctx: Context, caller: Caller, *, role: Role, name: str
) -> tuple[ApiKey, Secret]:
    """A key for the caller's merchant: what we keep of it, and its text."""
    mode = KeyMode.LIVE if ctx.provider.livemode else KeyMode.TEST
    side = KeySide.PUBLISHABLE if role is Role.PUBLISHABLE else KeySide.SECRET
    made = new_api_key(mode, side, ctx.new_id("api_key"), ctx.random_bytes)
    now = ctx.now()
    key = ApiKey(
        id=made.key_id,
        merchant=caller.merchant,
        name=name,
        role=role,
        side="pk" if role is Role.PUBLISHABLE else "sk",
        livemode=ctx.provider.livemode,
        hint=made.hint,
        secret_hash=ctx.hasher.of_api_key(parse_api_key(made.key.reveal())),
        created_at=now,
        updated_at=now,
    )
    audit = ctx.audit(caller, Action.API_KEY_CREATE, Subject("api_key", key.id))
    verdict = await ctx.door.commit(Change(audit, creates=(key,)))
    assert isinstance(verdict, Committed), "a change without guards is never refused"
    return key, made.key
