"""A payer's browser is let in, or not, by the same steps whatever was wrong."""

from typing import Any

import msgspec
import pytest

from paygate.crypto.client_secrets import new_client_secret
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.access.authenticate_client import authenticate_client
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from tests.flows.world import World
from tests.making import new_id

SESSION = "session-0123456789"


async def create(world: World, session: str | None = SESSION) -> tuple[str, str | None]:
    request = NewPaymentIntent(amount=1999, currency="eur", session_id=session)
    created = await create_payment_intent(world.ctx, world.caller, request)
    return created.intent.id, created.client_secret


async def lets_in(world: World, intent: str, secret: str | None, session: str | None) -> bool:
    try:
        await authenticate_client(
            world.ctx, world.caller, intent, client_secret=secret, session_id=session
        )
    except Refusal as refusal:
        if refusal.code is not ErrorCode.RESOURCE_MISSING:
            raise
        return False
    return True


@pytest.fixture
def steps(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done that takes time: reads, and keyed hashes compared."""
    done: list[str] = []
    reader, hasher = type(world.ctx.read), type(world.ctx.hasher)
    read, match = reader.payment_intent, hasher._matches

    async def reading(self: Any, *arguments: Any) -> Any:
        done.append("read")
        return await read(self, *arguments)

    def matching(self: Any, *arguments: Any) -> Any:
        done.append("hash")
        return match(self, *arguments)

    monkeypatch.setattr(reader, "payment_intent", reading)
    monkeypatch.setattr(hasher, "_matches", matching)
    return done


async def test_every_refusal_takes_the_same_steps(world: World, steps: list[str]) -> None:
    intent, secret = await create(world)
    foreign = msgspec.structs.replace(world.caller, merchant="other")
    unknown = new_id("payment_intent")
    wrong = new_client_secret(intent, world.ctx.random_bytes)
    for name, session, offered in (
        (intent, SESSION, wrong),
        (intent, "another-session-01", secret),
        (intent, None, secret),
        (unknown, SESSION, new_client_secret(unknown, world.ctx.random_bytes)),
    ):
        steps.clear()
        assert not await lets_in(world, name, offered, session)
        assert steps == ["read", "hash", "hash"]
    world.caller = foreign
    steps.clear()
    assert not await lets_in(world, intent, secret, SESSION)
    assert steps == ["read", "hash", "hash"]


async def test_every_character_counts(world: World) -> None:
    """Of the secret and of the session: neither a beginning nor an end is enough."""
    intent, secret = await create(world)
    assert secret is not None
    for offered in _nearly(secret):
        assert not await lets_in(world, intent, offered, SESSION)
    for session in _nearly(SESSION):
        assert not await lets_in(world, intent, secret, session)
    assert await lets_in(world, intent, secret, SESSION)


def _nearly(text: str) -> list[str]:
    """With one character changed, one left out at either end, one more, or in capitals."""
    changed = [f"{text[:n]}{'b' if c == 'a' else 'a'}{text[n + 1 :]}" for n, c in enumerate(text)]
    return [*changed, text[:-1], text[1:], text + "a", text.swapcase()]


async def test_the_secret_ends(world: World) -> None:
    intent, secret = await create(world)
    world.clock.forward(25 * 3600 - 1)
    assert await lets_in(world, intent, secret, SESSION)
    world.clock.forward(1)
    assert not await lets_in(world, intent, secret, SESSION)


async def test_in_production_a_secret_needs_a_session(world: World) -> None:
    world.use(policy=msgspec.structs.replace(world.ctx.policy, production=True))
    intent, secret = await create(world, session=None)
    assert secret is None
    forged = new_client_secret(intent, world.ctx.random_bytes)
    assert not await lets_in(world, intent, forged, None)
    bound, secret = await create(world)
    assert await lets_in(world, bound, secret, SESSION)
    assert not await lets_in(world, bound, secret, None)


async def test_without_a_session_the_secret_is_enough_in_development(world: World) -> None:
    intent, secret = await create(world, session=None)
    assert await lets_in(world, intent, secret, None)
    assert not await lets_in(world, intent, None, None)
