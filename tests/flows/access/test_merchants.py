"""Merchants: made once, with their audit entry or not at all."""

import asyncio

import pytest

from paygate.domain.access.roles import Action
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.access.create_merchant import create_merchant
from paygate.flows.access.read_merchants import find_merchant, list_merchants
from tests.flows.world import World


@pytest.mark.parametrize("merchant", ["a", "shop-2", "0_x", "a" * 40])
async def test_a_merchant_is_made(world: World, merchant: str) -> None:
    made = await create_merchant(world.ctx, world.caller, merchant)
    assert made.id == merchant
    assert await find_merchant(world.ctx, merchant) == made
    (entry,) = await world.audited()
    assert (entry.action, entry.subject) == (
        Action.MERCHANT_CREATE,
        Subject("merchant", merchant),
    )


@pytest.mark.parametrize("merchant", ["", "A", "a b", "a" * 41, "\u00e9", "a\n", "a/b", "\x00"])
async def test_what_no_merchant_may_be_called(world: World, merchant: str) -> None:
    with pytest.raises(Refusal) as refused:
        await create_merchant(world.ctx, world.caller, merchant)
    assert (refused.value.code, refused.value.param) == (ErrorCode.PARAMETER_INVALID, "id")
    with pytest.raises(Refusal) as refused:
        await find_merchant(world.ctx, merchant)
    assert refused.value.code is ErrorCode.RESOURCE_MISSING
    assert await world.audited() == []


async def test_one_of_many_makers_wins(world: World) -> None:
    """And only its entry says that the merchant was made."""
    attempts = [create_merchant(world.ctx, world.caller, "shop") for _ in range(4)]
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [a for a in answers if isinstance(a, Refusal)]
    assert [r.code for r in refused] == [ErrorCode.STATE_CONFLICT] * 3
    assert len(await world.audited()) == 1


async def test_all_are_listed_and_the_list_is_audited(world: World) -> None:
    for merchant in ("b", "a"):
        await create_merchant(world.ctx, world.caller, merchant)
    found = [m.id for m in await list_merchants(world.ctx, world.caller)]
    assert found == ["default", "b", "a"]
    entry = (await world.audited())[-1]
    assert (entry.action, entry.details) == (
        Action.MERCHANT_LIST,
        {"query": "", "ids": "default,b,a"},
    )
