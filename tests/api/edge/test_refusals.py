"""The audit log of refusals: nobody fills it, and none goes uncounted."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from paygate.api.edge.exchange import Exchange
from paygate.api.edge.refusals import EVERY_SECONDS, KINDS, RefusalLog
from paygate.domain.access.roles import Action, Role
from paygate.domain.audit import AuditEntry, Result
from paygate.domain.errors import ErrorCode, Refusal
from paygate.storage.change import Change, Committed, OutcomeUnknown, Unavailable, Verdict
from paygate.telemetry.timing import Timing
from tests.api.edge.asgi import Headers, door_of
from tests.flows.virtual_time import in_virtual_time
from tests.flows.world import World

NO = Refusal(ErrorCode.API_KEY_MISSING, "no")
UNKNOWN = "/payment-intents/pi_" + "0" * 26


class Written:
    """A door that remembers what came, and is shut for so long as `shut` says."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.shut: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def commit(self, change: Change) -> Verdict:
        await self.answers.wait()
        if self.shut is not None:
            raise self.shut
        self.entries.append(change.audit)
        return Committed()

    def counted(self) -> int:
        """How many refusals the entries stand for."""
        return sum(int(entry.details.get("repeated", "1")) for entry in self.entries)


def stranger(network: int = 0) -> Exchange:
    exchange = Exchange(f"req_{network}", {}, f"10.0.{network // 256}.{network % 256}", Timing())
    exchange.action = Action.INTENT_READ
    return exchange


async def refused_entries(world: World) -> list[AuditEntry]:
    return [entry for entry in await world.audited() if entry.result is Result.REFUSED]


async def test_a_flood_is_two_entries_and_the_second_counts(world: World) -> None:
    """With a publishable key, without one, and with a key that asks too often."""
    async with door_of(world, PAYGATE_RATE_LIMIT="2/second") as door:
        public, secret = await door.key(Role.PUBLISHABLE), await door.key()
        flooded: list[tuple[Headers, str]] = [
            ({"Authorization": public}, "192.0.2.1"),
            ({}, "192.0.2.2"),
            ({"Authorization": secret}, "192.0.2.3"),
        ]
        received: dict[str, int] = {}
        for headers, address in flooded:
            for _ in range(40):
                answer = await door.call("GET", UNKNOWN, headers=headers, address=address)
                received[f"{address} {answer.code}"] = (
                    received.get(f"{address} {answer.code}", 0) + 1
                )
    entries = await refused_entries(world)
    # What a secret key asks for in vain is told apart, as far as its limit lets it ask.
    own = [
        e for e in entries if (e.address, e.details["code"]) == ("192.0.2.3", "resource_missing")
    ]
    assert len(own) == received.pop("192.0.2.3 resource_missing")
    rest = [e for e in entries if e not in own]
    counts: dict[str, int] = {}
    for entry in rest:
        name = f"{entry.address} {entry.details['code']}"
        counts[name] = counts.get(name, 0) + int(entry.details.get("repeated", "1"))
    assert counts == received
    # A limit is the key's or the network's: so much more can be told apart than the answers tell.
    kinds = {(e.actor, e.address, e.details["code"]) for e in rest}
    assert len(rest) == 2 * len(kinds) <= 14


async def test_each_kind_is_told_apart(world: World) -> None:
    """A flood of one does not hide another: other code, other call, other network."""
    async with door_of(world) as door:
        headers: Headers = {"Authorization": await door.key(Role.PUBLISHABLE)}
        for _ in range(3):
            await door.call("GET", UNKNOWN, headers=headers)
        await door.call("POST", "/payment-intents", b"{}", headers=headers)
        await door.call("POST", f"{UNKNOWN}/confirm", b"{}", headers=headers)
        await door.call("GET", UNKNOWN, headers=headers, address="198.51.100.1")
        found = [(e.action, e.details["code"], e.address) for e in await refused_entries(world)]
    assert found == [
        (Action.INTENT_READ, "resource_missing", "192.0.2.1"),
        (Action.INTENT_CREATE, "role_not_allowed", "192.0.2.1"),
        (Action.INTENT_CONFIRM, "resource_missing", "192.0.2.1"),
        (Action.INTENT_READ, "resource_missing", "198.51.100.1"),
    ]


async def test_a_count_names_who_came_last(world: World) -> None:
    async with door_of(world) as door:
        answers = [await door.call("GET", UNKNOWN) for _ in range(3)]
    first, last = await refused_entries(world)
    assert (first.request_id, first.details) == (
        answers[0].headers["request-id"],
        {"code": "api_key_missing"},
    )
    assert (last.request_id, last.details) == (
        answers[2].headers["request-id"],
        {"code": "api_key_missing", "repeated": "2"},
    )
    assert (last.actor.type, last.address) == ("client", "192.0.2.1")


CARD = "4242 4242 4242 4242"
HIDDEN: dict[str, tuple[str, str, Any, Headers, str | None]] = {
    "body": ("POST", "/payment-intents", {"metadata": {"note": CARD}}, {}, "metadata.note"),
    "name": ("POST", "/payment-intents", {"metadata": {CARD: ""}}, {}, "metadata"),
    "under a name": ("POST", "/payment-intents", {CARD: {CARD: CARD}}, {}, None),
    "query": ("GET", "/payment-intents?reference=4242+4242+4242+4242", None, {}, "reference"),
    "header": ("GET", "/payment-intents", None, {"Paygate-Session": CARD}, "Paygate-Session"),
    "path": ("GET", "/payment-intents/4242424242424242", None, {}, None),
}


@pytest.mark.parametrize("place", HIDDEN)
async def test_of_card_data_the_field_is_written_down_and_never_the_number(
    world: World, place: str
) -> None:
    method, target, body, headers, param = HIDDEN[place]
    async with door_of(world) as door:
        keyed: Headers = {"Authorization": await door.key(), **headers}
        answer = await door.call(method, target, json.dumps(body).encode(), headers=keyed)
    assert (answer.code, answer.json["error"]["param"]) == ("card_data_refused", param)
    (entry,) = await refused_entries(world)
    assert entry.details == {"code": "card_data_refused"} | ({"param": param} if param else {})
    assert "4242" not in repr(await world.audited())


async def test_of_card_data_that_is_counted_the_last_field_is_written_down(world: World) -> None:
    refusals, door = log_over(world)
    async with refusals.counted():
        for param in ("metadata.a", "metadata.b", "metadata.c", None, "metadata.d"):
            await refusals.write(stranger(), Refusal(ErrorCode.CARD_DATA_REFUSED, "", param=param))
    code = {"code": "card_data_refused"}
    assert [entry.details for entry in door.entries] == [
        code | {"param": "metadata.a"},
        code | {"param": "metadata.d", "repeated": "4"},
    ]


def log_over(world: World) -> tuple[RefusalLog, Written]:
    door = Written()
    return RefusalLog(msgspec.structs.replace(world.ctx, door=door)), door


async def test_each_minute_has_one_entry_and_a_quiet_one_ends_it(world: World) -> None:
    refusals, door = log_over(world)

    async def hours() -> list[int]:
        lengths = []
        async with refusals.counted():
            await asyncio.sleep(EVERY_SECONDS / 2)
            for minute in range(5):
                for _ in range(100 if minute in (0, 1, 4) else 0):
                    await refusals.write(stranger(), NO)
                await asyncio.sleep(EVERY_SECONDS)
                lengths.append(len(door.entries))
        return lengths

    lengths, _ = await asyncio.to_thread(in_virtual_time, hours())
    assert lengths == [2, 3, 3, 3, 5]
    assert door.counted() == 300


async def test_who_has_many_networks_fills_nothing_either(world: World) -> None:
    refusals, door = log_over(world)
    async with refusals.counted():
        for network in (*range(2 * KINDS), *range(2 * KINDS)):
            await refusals.write(stranger(network), NO)
        assert len(door.entries) == KINDS + 1
        others = door.entries[-1]
        assert (others.actor.type, others.address) == ("client", None)
    assert door.counted() == 4 * KINDS
    assert len(door.entries) == 2 * (KINDS + 1)


async def test_what_could_not_be_written_is_counted(world: World) -> None:
    refusals, door = log_over(world)
    async with refusals.counted():
        door.shut = Unavailable("away")
        for _ in range(3):
            await refusals.write(stranger(), NO)
        await refusals.tell()
        assert door.entries == []
        door.shut = None
    (entry,) = door.entries
    assert entry.details["repeated"] == "3"


async def test_what_fails_when_its_minute_is_over_is_counted_too(world: World) -> None:
    refusals, door = log_over(world)
    async with refusals.counted():
        door.shut = Unavailable("away")
        door.answers.clear()
        writing = asyncio.create_task(refusals.write(stranger(), NO))
        await asyncio.sleep(0)
        await refusals.tell()
        door.answers.set()
        await writing
        door.shut = None
    (entry,) = door.entries
    assert entry.details["repeated"] == "1"


async def test_what_may_have_been_written_is_not_counted_twice(world: World) -> None:
    refusals, door = log_over(world)
    async with refusals.counted():
        door.shut = OutcomeUnknown("no answer")
        await refusals.write(stranger(), NO)
        door.shut = None
    assert door.entries == []


async def test_a_refusal_is_written_before_it_is_answered(world: World) -> None:
    async with door_of(world) as door:
        answer = await door.call("GET", UNKNOWN)
        (entry,) = await refused_entries(world)
        assert entry.request_id == answer.headers["request-id"]
