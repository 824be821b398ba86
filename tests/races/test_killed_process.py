"""API processes that are killed or stand still in the middle of a payment, and one that goes on.

Each accepts from a socket of its own on one port, so a client has the process that its connection
fell to, and a process that stands still keeps those who come to it waiting.
"""

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from paygate.domain.audit import AuditEntry
from paygate.domain.provider_event import ProviderEvent
from paygate.settings import load
from paygate.wiring.keys import open_records
from tests.api.shops import audited
from tests.api.test_provider_events import event, signed
from tests.cli.processes import children
from tests.gateway import Gateway, Response, until
from tests.storage.stored import TABLE_OF, select

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds processes in /proc, as Linux has it"
)

CONFIRM = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}
LEASE = "2s"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    environment = {"PAYGATE_LOCK_TTL": LEASE}
    gateway = Gateway.start(tmp_path_factory.mktemp("races"), environment=environment)
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
async def races(started: Gateway) -> AsyncIterator[Gateway]:
    await started.open()
    yield started
    await started.close()


@asynccontextmanager
async def client(gateway: Gateway) -> AsyncIterator[Gateway]:
    """Connections of its own."""
    other = Gateway(gateway.process, gateway.ready, gateway.log)
    await other.open()
    try:
        yield other
    finally:
        await other.close()


@asynccontextmanager
async def client_of(gateway: Gateway, pid: int) -> AsyncIterator[Gateway]:
    """A client whose connection is to that process."""
    async with AsyncExitStack() as tried:
        while True:
            one = await tried.enter_async_context(client(gateway))
            before = peers(pid)
            await one.call("GET", "/healthz", key=None)
            if peers(pid) - before:
                break
        yield one


def peers(pid: int) -> set[str]:
    """The addresses of those who are connected to a process over TCP (proc_net_tcp)."""
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            held.add(str(descriptor.readlink()))
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[2] for row in rows if f"socket:[{row[9]}]" in held}


def serving(gateway: Gateway) -> list[int]:
    found = children(gateway.process.pid).items()
    return sorted(pid for pid, command in found if command[0] == "serve")


async def both(gateway: Gateway) -> tuple[int, int]:
    async def two() -> list[int] | None:
        found = serving(gateway)
        return found if len(found) == 2 else None

    one, other = await until(two)
    return one, other


async def persist(
    gateway: Gateway, path: str, body: Any, key: str, *, patience: float = 8
) -> Response:
    """What a client does that must know: the same request, until it is answered. Its connection may
    be one that a process which stands still would have to serve, so it tries another one.
    """
    headers = {"Idempotency-Key": key}
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(patience):
                    answer = await gateway.call("POST", path, body, headers=headers)
                if answer.status in (200, 201):
                    return answer
                assert answer.code in (
                    "idempotency_key_in_use",
                    "provider_unavailable",
                    "outcome_unknown",
                    "overloaded",
                ), answer
            await asyncio.sleep(0.1)


async def hold(gateway: Gateway, seconds: float) -> None:
    """The provider holds the next confirm, before its effect."""
    fault = {"on": "confirm", "kind": "hang", "count": 1, "seconds": seconds}
    await gateway.sandbox("POST", "/_sandbox/faults", fault)


async def held(gateway: Gateway) -> None:
    """Until it does."""

    async def fired() -> bool:
        faults = (await gateway.sandbox("GET", "/_sandbox/faults"))["faults"]
        return any(fault["kind"] == "hang" and fault["fired"] for fault in faults)

    await until(fired)


async def until_nothing_is_owed(gateway: Gateway) -> None:
    await gateway.sandbox("DELETE", "/_sandbox/faults")


async def idempotency(gateway: Gateway, intent: str) -> list[str]:
    """What was done under keys about an intent, or about none."""
    entries: list[AuditEntry] = [e for found in (await audited(gateway)).values() for e in found]
    return [e.details["idempotency"] for e in entries if "idempotency" in e.details]


@pytest.mark.parametrize("round_", range(2))
async def test_the_holder_is_killed_in_the_call(races: Gateway, round_: int) -> None:
    """A hundred confirms with one key on both processes; the one that works dies; one charge."""
    gateway = races
    holder, other = (await both(gateway))[:: 1 if round_ else -1]
    intent = await gateway.create()
    path, key = f"/payment-intents/{intent['id']}/confirm", f"killed {round_}"
    before = (await idempotency(gateway, intent["id"])).count("taken_over")
    await hold(gateway, 3.0)
    os.kill(other, signal.SIGSTOP)
    async with client(gateway) as here, client(gateway) as there:
        first = [asyncio.create_task(persist(here, path, CONFIRM, key)) for _ in range(50)]
        await held(gateway)
        os.kill(other, signal.SIGCONT)
        second = [asyncio.create_task(persist(there, path, CONFIRM, key)) for _ in range(50)]
        os.kill(holder, signal.SIGKILL)
        answers = await asyncio.gather(*first, *second)
    await until_nothing_is_owed(gateway)
    assert {a.body for a in answers} == {answers[0].body}
    assert json.loads(answers[0].body)["status"] == "succeeded"
    (charge,) = await gateway.charges(intent["id"])
    assert charge["status"] == "succeeded"
    assert (await idempotency(gateway, intent["id"])).count("taken_over") > before
    assert "process_died" in gateway.log.read_text()


@pytest.mark.parametrize("round_", range(2))
async def test_creates_while_a_process_is_killed(races: Gateway, round_: int) -> None:
    """Two hundred creates with one key: one intent, one answer."""
    gateway = races
    victim = (await both(gateway))[round_]
    body = {"amount": 1999, "currency": "eur", "reference": f"killed-{round_}"}
    async with client(gateway) as here:
        work = [
            asyncio.create_task(persist(here, "/payment-intents", body, f"create {round_}"))
            for _ in range(200)
        ]
        await asyncio.sleep(0.05)
        os.kill(victim, signal.SIGKILL)
        answers = await asyncio.gather(*work)
    assert {a.body for a in answers} == {answers[0].body}
    found = await gateway.call("GET", f"/payment-intents?reference=killed-{round_}")
    assert [i["id"] for i in found.json["data"]] == [answers[0].json["id"]]


@pytest.mark.parametrize("round_", range(2))
async def test_the_holder_stands_still_past_its_lease(races: Gateway, round_: int) -> None:
    """F06: another takes over and ends it; the first wakes up, and writes nothing any more."""
    gateway = races
    holder, other = (await both(gateway))[:: 1 if round_ else -1]
    intent = await gateway.create()
    path, key = f"/payment-intents/{intent['id']}/confirm", f"frozen {round_}"
    before = (await idempotency(gateway, intent["id"])).count("taken_over")
    await hold(gateway, 1.0)
    async with client_of(gateway, holder) as here, client_of(gateway, other) as there:
        first = asyncio.create_task(persist(here, path, CONFIRM, key, patience=60))
        await held(gateway)
        os.kill(holder, signal.SIGSTOP)
        second = await persist(there, path, CONFIRM, key, patience=60)
        final = await there.read(intent["id"])
        os.kill(holder, signal.SIGCONT)
        late = await first
    await until_nothing_is_owed(gateway)
    assert (second.status, second.json["status"]) == (200, "succeeded")
    assert late.body == second.body
    assert late.headers["Idempotent-Replayed"] == "true"
    assert await gateway.read(intent["id"]) == final
    assert len(await gateway.charges(intent["id"])) == 1
    assert (await idempotency(gateway, intent["id"])).count("taken_over") > before
    assert "fenced_out" in gateway.log.read_text()


async def test_payments_while_processes_are_killed(races: Gateway) -> None:
    """Twenty payments, a key each; processes die one after the other; each is charged once."""
    gateway = races
    intents = [await gateway.create() for _ in range(20)]

    async def pay(number: int) -> Response:
        path = f"/payment-intents/{intents[number]['id']}/confirm"
        return await persist(gateway, path, CONFIRM, f"storm {number}")

    work = [asyncio.create_task(pay(number)) for number in range(20)]
    for turn in range(3):
        os.kill((await both(gateway))[turn % 2], signal.SIGKILL)
        await asyncio.sleep(0.4)
    answers = await asyncio.gather(*work)
    again = [await pay(number) for number in range(20)]
    assert [a.body for a in again] == [a.body for a in answers]
    for intent in intents:
        final = await gateway.read(intent["id"])
        assert final["status"] == "succeeded", final
        assert len(await gateway.charges(intent["id"])) == 1


HELD = 8


class Delivery:
    """A provider event on a connection of its own, to one process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, gateway: Gateway, pid: int) -> "Delivery":
        """A connection to that process: the system deals them out."""
        context = ssl.create_default_context(cafile=gateway.ready["ca_file"])
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context)
            port = writer.get_extra_info("sockname")[1]
            if any(peer.endswith(f":{port:04X}") for peer in peers(pid)):
                return cls(reader, writer)
            writer.close()

    def send(self, gateway: Gateway, body: bytes) -> None:
        signature = signed(gateway.ready["webhook_secret"], body)
        head = f"Host: a\r\nStripe-Signature: {signature}\r\nContent-Length: {len(body)}"
        self._writer.write(f"POST /webhooks HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)

    async def acknowledged(self) -> bool:
        """Whether it is; of a process that has ended, whether it ever was."""
        try:
            status = await self._reader.readline()
        except ConnectionError:
            return False
        assert status in (b"", b"HTTP/1.1 200 OK\r\n"), status
        return status != b""


async def event_object(gateway: Gateway, intent: str) -> dict[str, Any]:
    """The provider's own event of the payment."""

    async def found() -> Any:
        events = (await gateway.sandbox("GET", "/v1/events?limit=20"))["data"]
        for each in events:
            said = each["data"]["object"]
            succeeded = each["type"] == "payment_intent.succeeded"
            if succeeded and said["metadata"].get("paygate_intent") == intent:
                return each
        return None

    return dict(await until(found))


async def stored(gateway: Gateway) -> Counter[str]:
    """Which of the provider's events are stored, and how often."""
    records = await open_records(load({}, data=Path(gateway.ready["data_dir"])))
    connection = await asyncpg.connect(gateway.ready["database_url"])
    rows = await connection.fetch(select(TABLE_OF[ProviderEvent]))
    await connection.close()
    return Counter(records.open(ProviderEvent, tuple(row)).provider_reference for row in rows)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_who_ends_while_deliveries_are_held(races: Gateway, how: signal.Signals) -> None:
    """A stop acknowledges them first, and a kill leaves them to come again; none is lost."""
    gateway = races
    holder, other = await both(gateway)
    intent = await gateway.create()
    path, key = f"/payment-intents/{intent['id']}/confirm", f"held {how.name}"
    deliveries = [await Delivery.to(gateway, holder) for _ in range(HELD)]
    last = await Delivery.to(gateway, holder)
    fault = {"on": "confirm", "kind": "hang", "hold": "after", "count": 1, "seconds": 3}
    await gateway.sandbox("POST", "/_sandbox/faults", fault)
    async with client_of(gateway, other) as there, asyncio.TaskGroup() as tasks:
        confirm = tasks.create_task(persist(there, path, CONFIRM, key, patience=60))
        original = await event_object(gateway, intent["id"])
        bodies = {f"evt_{how.name}_{n}": original for n in range(HELD)}
        sent = {name: json.dumps(body | {"id": name}).encode() for name, body in bodies.items()}
        for delivery, body in zip(deliveries, sent.values(), strict=True):
            delivery.send(gateway, body)
        last.send(gateway, event(f"evt_{how.name}_last"))  # it is about no payment
        assert await last.acknowledged()
        os.kill(holder, how)
        answers = await asyncio.gather(*(delivery.acknowledged() for delivery in deliveries))
        acknowledged = {name for name, answer in zip(sent, answers, strict=True) if answer}
        assert acknowledged <= set(await stored(gateway))
        assert (len(acknowledged) == HELD) is (how is signal.SIGTERM)
        for name, body in sent.items():
            signature = {"Stripe-Signature": signed(gateway.ready["webhook_secret"], body)}
            again = await gateway.call("POST", "/webhooks", raw=body, key=None, headers=signature)
            assert again.status == 200, name
        assert (await confirm).json["status"] == "succeeded"
    await until_nothing_is_owed(gateway)
    found = await stored(gateway)
    assert {name: found[name] for name in sent} == dict.fromkeys(sent, 1)
    assert len(await gateway.charges(intent["id"])) == 1
