"""Keys from their making to their end: what each flow leaves, and who it is for."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from paygate.crypto.api_keys import parse_api_key
from paygate.crypto.secret import Secret
from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Action, Role
from paygate.domain.audit import Result, Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.access.authenticate import Authenticator
from paygate.flows.access.create_api_key import LONGEST, create_api_key
from paygate.flows.access.read_api_keys import find_api_key, list_api_keys
from paygate.flows.access.revoke_api_key import revoke_api_key
from paygate.flows.access.rotate_api_key import rotate_api_key
from paygate.storage.change import Change, Overloaded
from paygate.storage.pages import newest
from tests.flows.world import World
from tests.making import START, make_audit, new_id

DAY = timedelta(days=1)


async def made(world: World, role: Role = Role.OPERATOR, **more: Any) -> tuple[ApiKey, Secret]:
    return await create_api_key(world.ctx, world.caller, role=role, **{"name": "shop", **more})


async def rotated(world: World, key: ApiKey, overlap: str = "24h") -> tuple[ApiKey, Secret]:
    return await rotate_api_key(world.ctx, world.caller, key.id, overlap=overlap)


async def stored(world: World, key: ApiKey) -> ApiKey:
    found = await world.ctx.read.api_key(key.id)
    assert found is not None
    return found


async def opens(world: World, text: Secret) -> bool:
    """Whether a key that nobody remembers opens anything."""
    try:
        await Authenticator(world.ctx).caller(
            f"Bearer {text.reveal()}", request_id="req_1", address=None
        )
    except Refusal:
        return False
    return True


@pytest.mark.parametrize("role", list(Role))
async def test_a_key_is_what_was_asked_for(world: World, role: Role) -> None:
    key, text = await made(world, role)
    assert await stored(world, key) == key
    assert (key.role, key.name, key.merchant, key.version) == (role, "shop", "default", 1)
    assert (key.expires_at, key.revoked_at) == (None, None)
    side = "pk" if role is Role.PUBLISHABLE else "sk"
    assert (key.side, parse_api_key(text.reveal()).side) == (side, side)
    assert text.reveal().startswith(f"pgw_test_{side}_")
    (entry,) = await world.audited()
    assert (entry.action, entry.subject) == (Action.API_KEY_CREATE, Subject("api_key", key.id))
    assert entry.details == {"role": role}


async def test_a_key_may_have_no_name_and_an_end(world: World) -> None:
    ends = START + DAY
    zone = timezone(timedelta(hours=5))
    key, text = await made(world, name=None, expires_at=ends.astimezone(zone))
    assert (key.name, key.expires_at) == (None, ends)
    assert (await stored(world, key)).expires_at == ends
    assert await opens(world, text)
    world.clock.forward(DAY.total_seconds())
    assert not await opens(world, text)


@pytest.mark.parametrize(
    "expires_at",
    [
        START,
        START - DAY,
        START + LONGEST + timedelta(microseconds=1),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=23))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=23))),
    ],
)
async def test_an_end_is_in_the_ten_years_to_come(world: World, expires_at: datetime) -> None:
    with pytest.raises(Refusal) as refused:
        await create_api_key(world.ctx, world.caller, role=Role.ADMIN, expires_at=expires_at)
    assert (refused.value.code, refused.value.param) == (ErrorCode.PARAMETER_INVALID, "expires_at")
    assert await world.all(ApiKey) == []


async def test_a_name_is_printable(world: World) -> None:
    with pytest.raises(Refusal) as refused:
        await made(world, name="a\x1b[31mb")
    assert (refused.value.code, refused.value.param) == (ErrorCode.PARAMETER_INVALID, "name")


@pytest.mark.parametrize(("overlap", "seconds"), [("0s", 0), ("90m", 5400), ("7d", 604_800)])
async def test_rotation_makes_one_like_it_and_ends_the_old(
    world: World, overlap: str, seconds: int
) -> None:
    old, old_text = await made(world, Role.FINANCE)
    world.clock.forward(10)
    new, text = await rotated(world, old, overlap)
    now = START + timedelta(seconds=10)
    ended = await stored(world, old)
    assert ended.expires_at == now + timedelta(seconds=seconds)
    assert (ended.version, ended.updated_at, ended.revoked_at) == (2, now, None)
    assert await stored(world, new) == new
    assert (new.role, new.name, new.merchant, new.side) == (old.role, old.name, "default", "sk")
    assert (new.version, new.expires_at, new.created_at) == (1, None, now)
    assert (new.id != old.id, new.secret_hash != old.secret_hash) == (True, True)
    assert await opens(world, text)
    assert await opens(world, old_text) == (seconds > 0)
    world.clock.forward(max(seconds, 1))
    assert await opens(world, text)
    assert not await opens(world, old_text)


async def test_rotation_is_one_entry_that_names_both(world: World) -> None:
    old, _ = await made(world)
    new, _ = await rotated(world, old, "0s")
    entry = (await world.audited())[-1]
    assert (entry.action, entry.result) == (Action.API_KEY_ROTATE, Result.ALLOWED)
    assert entry.subject == Subject("api_key", old.id)
    assert entry.details == {"new": new.id, "expires_at": START.isoformat()}
    assert len(await world.audited()) == 2


async def test_rotation_never_makes_a_key_live_longer(world: World) -> None:
    soon = START + timedelta(hours=1)
    old, _ = await made(world, expires_at=soon)
    await rotated(world, old, "24h")
    assert (await stored(world, old)).expires_at == soon
    await rotated(world, old, "10m")
    assert (await stored(world, old)).expires_at == START + timedelta(minutes=10)
    await rotated(world, old, "7d")
    assert (await stored(world, old)).expires_at == START + timedelta(minutes=10)


@pytest.mark.parametrize(
    "overlap", ["", "1", "-1s", "8d", "169h", "1w", "0", "1.5h", "9" * 9 + "d"]
)
async def test_an_overlap_is_up_to_seven_days(world: World, overlap: str) -> None:
    old, _ = await made(world)
    with pytest.raises(Refusal) as refused:
        await rotated(world, old, overlap)
    assert (refused.value.code, refused.value.param) == (ErrorCode.PARAMETER_INVALID, "overlap")
    assert await world.all(ApiKey) == [old]


async def test_what_opens_nothing_is_not_rotated(world: World) -> None:
    revoked, _ = await made(world)
    await revoke_api_key(world.ctx, world.caller, revoked.id)
    expired, _ = await made(world, expires_at=START + DAY)
    world.clock.forward(DAY.total_seconds())
    before = await world.counts()
    for key in (revoked, expired):
        with pytest.raises(Refusal) as refused:
            await rotated(world, key)
        assert refused.value.code is ErrorCode.STATE_CONFLICT
        assert refused.value.subject == await stored(world, key)
    assert await world.counts() == before


async def test_rotations_at_once_each_make_a_key(world: World) -> None:
    """Each reads what the others left; the earliest end stands."""
    old, _ = await made(world)
    overlaps = ["3h", "1h", "2h"]
    made_at_once = await asyncio.gather(*(rotated(world, old, o) for o in overlaps))
    assert len({new.id for new, _ in made_at_once}) == 3
    ended = await stored(world, old)
    assert (ended.version, ended.expires_at) == (4, START + timedelta(hours=1))
    assert len(await world.all(ApiKey)) == 4


async def test_a_key_that_is_held_elsewhere_is_busy(world: World) -> None:
    """Somebody's open transaction holds the row: nothing is written, and it says when to retry."""
    old, _ = await made(world)
    before = await world.counts()
    async with world.connection.transaction():
        await world.connection.execute("SELECT FROM api_key WHERE id = $1 FOR UPDATE", old.id)
        for change in (rotated(world, old), revoke_api_key(world.ctx, world.caller, old.id)):
            with pytest.raises(Overloaded):
                await change
    assert await world.counts() == before
    await rotated(world, old)


async def test_a_revoked_key_opens_nothing_and_stays_so(world: World) -> None:
    key, text = await made(world)
    assert await opens(world, text)
    world.clock.forward(5)
    revoked, _ = await revoke_api_key(world.ctx, world.caller, key.id)
    assert revoked.revoked_at == START + timedelta(seconds=5)
    assert not await opens(world, text)
    world.clock.forward(5)
    again, _ = await revoke_api_key(world.ctx, world.caller, key.id)
    assert again == revoked == await stored(world, key)
    entries = [e for e in await world.audited() if e.action is Action.API_KEY_REVOKE]
    assert [e.subject for e in entries] == [Subject("api_key", key.id)] * 2


async def test_revocations_at_once_are_one(world: World) -> None:
    key, _ = await made(world)
    changes = [revoke_api_key(world.ctx, world.caller, key.id) for _ in range(4)]
    answers = await asyncio.gather(*changes)
    assert {answer for answer, _ in answers} == {await stored(world, key)}
    assert (await stored(world, key)).version == 2


async def test_a_rotation_and_a_revocation_at_once(world: World) -> None:
    """In either order the old key is revoked in the end."""
    for _ in range(5):
        key, text = await made(world)
        await asyncio.gather(
            rotated(world, key),
            revoke_api_key(world.ctx, world.caller, key.id),
            return_exceptions=True,
        )
        assert (await stored(world, key)).revoked_at == START
        assert not await opens(world, text)


async def test_another_merchants_key_is_not_there(world: World) -> None:
    key, text = await made(world)
    other = msgspec.structs.replace(world.caller, merchant="other")
    unknown = new_id("api_key")
    for key_id in (key.id, unknown, "key_x", "", "pi_" + key.id[4:]):
        for change in (
            find_api_key(world.ctx, "other", key_id),
            rotate_api_key(world.ctx, other, key_id, overlap="24h"),
            revoke_api_key(world.ctx, other, key_id),
        ):
            with pytest.raises(Refusal) as refused:
                await change
            assert refused.value.code is ErrorCode.RESOURCE_MISSING
            assert str(refused.value) == "no such API key"
    assert await stored(world, key) == key
    assert await opens(world, text)
    page, _ = await list_api_keys(world.ctx, other, newest("api_key", 10), "")
    assert page.items == ()


async def test_a_list_is_audited_with_what_it_showed(world: World) -> None:
    keys = [(await made(world))[0] for _ in range(3)]
    shown = sorted((key.id for key in keys), reverse=True)[:2]
    page, uses = await list_api_keys(world.ctx, world.caller, newest("api_key", 2), "limit=2")
    assert [key.id for key in page.items] == shown
    assert (page.has_more, uses) == (True, {})
    entry = (await world.audited())[-1]
    assert (entry.action, entry.subject) == (Action.API_KEY_LIST, None)
    assert entry.details == {"query": "limit=2", "ids": ",".join(shown)}


async def test_a_use_is_seen_in_the_list(world: World) -> None:
    """Only of a key that proved itself."""
    key, text = await made(world)
    stranger = text.reveal()[:-8] + "AAAAAAAA"
    for wrong in (stranger, ""):
        assert not await opens(world, Secret(wrong))
    world.clock.forward(7)
    assert await opens(world, text)
    await world.ctx.key_use.close()
    _, uses = await list_api_keys(world.ctx, world.caller, newest("api_key", 10), "")
    assert uses == {key.id: START + timedelta(seconds=7)}
    _, last = await revoke_api_key(world.ctx, world.caller, key.id)
    assert last == START + timedelta(seconds=7)


async def test_a_revoked_key_leaves_no_use(world: World) -> None:
    key, text = await made(world)
    dead = msgspec.structs.replace(key, version=2, revoked_at=START.astimezone(UTC))
    await world.ctx.door.commit(Change(make_audit(), advances=(dead,)))
    assert not await opens(world, text)
    await world.ctx.key_use.close()
    assert await world.ctx.read.api_key_uses([key.id]) == {}
