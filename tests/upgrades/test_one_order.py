"""One order, one payment, with a node of the previous release beside: what either does is seen by
the other.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from tests.cli.processes import run
from tests.gateway import Gateway, Response
from tests.upgrades.older import older_code, serve, until_listening


class Sides(NamedTuple):
    """A node of either release, on one database."""

    older: Gateway
    newer: Gateway
    before: dict[str, Any]
    """What the older one created before the database was migrated."""
    paid: str
    """What was paid there then."""


@pytest.fixture(scope="module")
async def sides(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sides]:
    folder = tmp_path_factory.mktemp("sides")
    python = older_code(folder / "code")
    older = await asyncio.to_thread(Gateway.start, folder / "up", "--processes", "1", python=python)
    try:
        await older.open()
        before = await older.create(reference="order-1")
        paid = (await older.create(reference="order-2"))["id"]
        assert (await older.confirm(paid)).json["status"] == "succeeded"
        migrated = await asyncio.to_thread(
            run, "migrate", "--data", older.ready["data_dir"], cwd=folder
        )
        assert migrated.status == 0, migrated
        node, newer = serve(older, None, {})
        try:
            await asyncio.to_thread(until_listening, newer)
            await newer.open()
            yield Sides(older, newer, before, paid)
            await newer.close()
        finally:
            assert await asyncio.to_thread(node.stop) == 0, node.log.read_text()
        await older.close()
    finally:
        assert await asyncio.to_thread(older.stop) == 0


async def order(gateway: Gateway, reference: str) -> Response:
    body = {"amount": 1999, "currency": "eur", "reference": reference, "unique_reference": True}
    return await gateway.call("POST", "/payment-intents", body)


async def in_use(sides: Sides, reference: str, intent: str) -> None:
    answer = await order(sides.newer, reference)
    assert (answer.status, answer.code) == (409, "reference_in_use")
    assert answer.json["error"]["payment_intent"] == await sides.newer.read(intent)


async def test_what_was_there_before_the_migration_is_seen(sides: Sides) -> None:
    await in_use(sides, "order-1", sides.before["id"])
    await in_use(sides, "order-2", sides.paid)


async def test_what_the_older_node_creates_is_seen(sides: Sides) -> None:
    await in_use(sides, "order-3", (await sides.older.create(reference="order-3"))["id"])


async def test_what_the_older_node_claims_is_claimed_for_both(sides: Sides) -> None:
    claimed = (await order(sides.older, "order-4")).json["id"]
    await in_use(sides, "order-4", claimed)
    claimed_here = (await order(sides.newer, "order-7")).json["id"]
    answer = await order(sides.older, "order-7")
    assert (answer.status, answer.code) == (409, "reference_in_use")
    assert answer.json["error"]["payment_intent"]["id"] == claimed_here


async def test_the_older_node_works_on_such_an_intent(sides: Sides) -> None:
    """It pays one, and frees one."""
    paid = (await order(sides.newer, "order-5")).json["id"]
    assert (await sides.older.confirm(paid)).json["status"] == "succeeded"
    await in_use(sides, "order-5", paid)
    freed = (await order(sides.newer, "order-6")).json["id"]
    await in_use(sides, "order-6", freed)
    cancelled = await sides.older.call("POST", f"/payment-intents/{freed}/cancel", {})
    assert cancelled.json["status"] == "cancelled"
    assert (await order(sides.newer, "order-6")).status == 201
