"""Create an API key. Its text is in the response and nowhere else.

Under an idempotency key the stored response has the text too, sealed, while it can be replayed.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from paygate.crypto.api_keys import KeyMode, KeySide, new_api_key, parse_api_key
from paygate.crypto.secret import Secret
from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Action, Caller, Role
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.context import Context
from paygate.storage.change import Change, Committed

LONGEST: Final = timedelta(days=3660)
"""Ten years: a key that shall live longer has no end, and says so."""


class NewApiKey(NamedTuple):
    """The record of a key, and its text."""

    key: ApiKey
    text: Secret


async def create_api_key(
    ctx: Context,
    caller: Caller,
    *,
    role: Role,
    name: str | None = None,
    expires_at: datetime | None = None,
) -> NewApiKey:
    """A key for the caller's merchant. The role `publishable` makes one that browsers may see.

    Raises:
        Refusal: `expires_at` is not within the ten years to come, or the name is not printable.
    """
    if expires_at is not None:
        if not ctx.now() < expires_at <= ctx.now() + LONGEST:
            raise Refusal(
                ErrorCode.PARAMETER_INVALID,
                "expires_at must be in the future, and within ten years",
                param="expires_at",
            )
        expires_at = expires_at.astimezone(UTC)
    if name is not None and not name.isprintable():
        raise Refusal(
            ErrorCode.PARAMETER_INVALID, "name must be printable characters", param="name"
        )
    made = make_api_key(ctx, caller.merchant, role=role, name=name, expires_at=expires_at)
    audit = ctx.audit(
        caller, Action.API_KEY_CREATE, key_subject(made.key.id), details={"role": str(role)}
    )
    verdict = await ctx.door.commit(Change(audit, creates=(made.key,), response=made))
    assert isinstance(verdict, Committed), "a change without guards is never refused"
    return made


def make_api_key(
    ctx: Context,
    merchant: str,
    *,
    role: Role,
    name: str | None,
    expires_at: datetime | None = None,
) -> NewApiKey:
    """A new key as a value; nothing is written."""
    mode = KeyMode.LIVE if ctx.provider.livemode else KeyMode.TEST
    side = KeySide.PUBLISHABLE if role is Role.PUBLISHABLE else KeySide.SECRET
    made = new_api_key(mode, side, ctx.new_id("api_key"), ctx.random_bytes)
    now = ctx.now()
    key = ApiKey(
        id=made.key_id,
        merchant=merchant,
        name=name,
        role=role,
        side="pk" if role is Role.PUBLISHABLE else "sk",
        livemode=ctx.provider.livemode,
        hint=made.hint,
        secret_hash=ctx.hasher.of_api_key(parse_api_key(made.key.reveal())),
        created_at=now,
        updated_at=now,
        expires_at=expires_at,
    )
    return NewApiKey(key, made.key)


def key_subject(key_id: str) -> Subject:
    """An API key, as the audit log names it."""
    return Subject("api_key", key_id)
