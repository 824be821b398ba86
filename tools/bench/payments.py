"""The gateway end to end: TLS, API key, seals, audit, the API processes, the sandbox, the worker,
and this load generator, all on the same machine. Each method is one round of some rows.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from paygate.storage.connections.database import connector
from tools.bench import BenchError, commit_door
from tools.bench.counters import FLUSHED_SECONDS, Counters, connected, counters
from tools.bench.load import Client, Response, flood, pace
from tools.bench.processes import KIB, Cpu, Gateway, private_bytes
from tools.bench.report import percentile
from tools.bench.rows import Sample
from tools.bench.seed import Seeded, seed_in_processes

CREATES_PER_SECOND: Final = 200
CONFIRMS_PER_SECOND: Final = 50
ENTRIES: Final = 200
"""Of the payment that is explained."""
APPLIED_WITHIN_SECONDS: Final = 60
"""One event a card payment (`ENABLED_EVENTS`); if one is lost, the figure would be none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much each round does."""

    rounds: int = 3
    connections: int = 32
    changes: int = 20_000
    pgbench_seconds: int = 3
    creates: int = 6_000
    paced_creates: int = 800
    paced_confirms: int = 200
    explained: int = 200
    payments: int = 600
    refunds: int = 600
    events: int = 1_500
    deliveries: int = 3_000
    paced_deliveries: int = 300
    idle_seconds: float = 60.0
    """The jobs of one minute are in it, once."""
    flushed_seconds: float = FLUSHED_SECONDS


QUICK: Final = Sizes(
    rounds=1,
    changes=4_000,
    pgbench_seconds=1,
    creates=1_000,
    paced_creates=200,
    paced_confirms=50,
    explained=50,
    payments=200,
    refunds=200,
    events=400,
    deliveries=500,
    paced_deliveries=50,
    idle_seconds=5.0,
)
"""To try whether all works; the figures wander."""


class Load:
    """One gateway under load."""

    def __init__(self, gateway: Gateway, sizes: Sizes) -> None:
        ready = self.ready = gateway.ready
        self._gateway = gateway
        self._sizes = sizes
        self._client = Client(ready["api_url"], ready["secret_key"], ready["ca_file"])
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count()
        self._busy_until = 0.0
        self._idle_transactions = 0.0
        """A second, as last measured."""

    async def __aenter__(self) -> Self:
        """Connects, and warms the gateway up."""
        self._connection = await connector(self.ready["database_url"], name="bench")()
        # A parallel worker would be one more process of ours among those that are measured.
        await self._connection.execute("SET max_parallel_workers_per_gather = 0")
        self._own = (await self._connection.fetchval("SELECT pg_backend_pid()"),)
        await self._connect()
        await self._flood(self._creates(self._sizes.creates // 6), _expect(201))
        await self._pay(self._sizes.payments // 6)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()
        await self._connection.close()

    async def _connect(self) -> None:
        await self._client.open(self._sizes.connections)

    async def create(self) -> Sample:
        """Creates, and their replays."""
        await self._connect()
        count, before = self._sizes.creates, self._cpu()
        first = next(self._numbers) + 1
        created, seconds = await self._flood(self._creates(count), _expect(201))
        cpu = self._cpu_each("create", before, created)
        again = map(self._create_of, range(first, first + count))
        replayed, again_seconds = await self._flood(again, _expect(200))
        create, replay = created / seconds, replayed / again_seconds
        return {"create": create, **cpu, "replay": replay, "replay/ratio": replay / create}

    async def paced(self) -> Sample:
        """At a fixed rate: a create's whole latency, a confirm's without the provider's part."""
        await self._connect()
        sizes, applied = self._sizes, await self._applied_events()
        intents: list[str] = []
        created = await pace(
            self._client, self._creates(sizes.paced_creates), CREATES_PER_SECOND, _collect(intents)
        )
        confirms = self._confirms(intents[: sizes.paced_confirms])
        confirmed = await pace(self._client, confirms, CONFIRMS_PER_SECOND, _expect(200))
        await self._until_applied(applied + len(confirmed))
        latencies = {
            "create": [answer.seconds * 1e3 for answer in created],
            "confirm": [answer.seconds * 1e3 - answer.timing("provider") for answer in confirmed],
        }
        return {
            f"{what}/p{percent}": percentile(values, percent / 100)
            for what, values in latencies.items()
            for percent in (50, 99)
        }

    async def explained(self) -> Sample:
        """One timeline after another, of a payment that was refunded in small parts."""
        await self._connect()
        intents: list[str] = []
        await self._flood(self._creates(1), _collect(intents))
        await self._flood(self._confirms(intents), _expect(200))
        send, path = self._client.connections[0].send, f"/payment-intents/{intents[0]}"
        refund = self._client.request("POST", f"{path}/refund", {"amount": 1})
        asks = self._client.request("GET", f"{path}/timeline")
        entries = 0
        while entries < ENTRIES:
            _expect(201)(await send(refund))
            entries = len(json.loads((await send(asks)).body)["entries"])
        took = []
        for _ in range(self._sizes.explained):
            answer = await send(asks)
            _expect(200)(answer)
            took.append(answer.seconds * 1e3)
        return {f"explain/p{each}": percentile(took, each / 100) for each in (50, 99)}

    async def refund(self) -> Sample:
        """A part of each of so many payments given back, until its event is applied."""
        await self._connect()
        intents = await self._pay(self._sizes.refunds)
        applied, before = await self._applied_events(), self._cpu()
        count, seconds = await self._flood(self._refunds(intents), _expect(201))
        await self._until_applied(applied + count)
        return {"refund": count / seconds, **self._cpu_each("refund", before, count)}

    async def idle(self) -> Sample:
        """What nobody asked for."""
        await self._until_counted()
        before, cpu, started = await self._counters(), self._cpu(), time.perf_counter()
        await asyncio.sleep(self._sizes.idle_seconds)
        seconds = time.perf_counter() - started
        gateway, database = self._cpu().since(cpu)
        after = await self._counters()
        self._idle_transactions = (after.transactions - before.transactions) / seconds
        return {
            "idle/gateway": gateway / seconds * 1e3,
            "idle/database": database / seconds * 1e3,
            "idle/transactions": self._idle_transactions,
        }

    async def payment(self) -> Sample:
        """Create, confirm, and the provider's event received and applied."""
        count = self._sizes.payments
        await self._until_counted()
        await self._connect()
        counted, before = await self._counters(), self._cpu()
        started = time.perf_counter()
        await self._pay(count)
        seconds = time.perf_counter() - started
        cpu = self._cpu_each("payment", before, count)
        ended = time.perf_counter()
        await self._until_counted()
        after = await self._counters()
        waiting = self._idle_transactions * (time.perf_counter() - ended)
        return {
            "payment": count / seconds,
            **cpu,
            "payment/transactions": (after.transactions - counted.transactions - waiting) / count,
            "payment/wal": (after.wal_bytes - counted.wal_bytes) / KIB / count,
            "payment/fsyncs": (after.fsyncs - counted.fsyncs) / count,
        }

    async def webhooks(self) -> Sample:
        """Events of payments that are not ours, received and done with."""
        await self._connect()
        applied, before = await self._applied_events(), self._cpu()
        started = time.perf_counter()
        count, seconds = await self._flood(self._events(self._sizes.events), _expect(200))
        await self._until_applied(applied + count)
        rate = count / (time.perf_counter() - started)
        cpu = self._cpu_each("applied", before, count)
        return {"accepted": count / seconds, "applied": rate, **cpu}

    async def connections(self) -> Sample:
        """The database's connections, as the load has left them."""
        pids = await connected(self._connection)
        return {
            "connections": len(pids),
            "connections/memory": private_bytes(pids) / KIB / KIB,
        }

    async def stored(self) -> float:
        """Creates a second, with what is stored."""
        created, seconds = await self._flood(self._creates(self._sizes.creates), _expect(201))
        return created / seconds

    async def fill(self, target: int, progress: Callable[[str], None]) -> None:
        """Store payments, here and in the sandbox, until there are `target` intents."""
        count = await self._intents()
        data = Path(self.ready["data_dir"])
        seeding = asyncio.create_task(
            asyncio.to_thread(seed_in_processes, data, Seeded(max(target - count, 0)))
        )
        while not (await asyncio.wait([seeding], timeout=10))[0]:
            progress(f"{await self._intents():,} of {target:,} stored")
        await seeding
        await self._connection.execute("ANALYZE")

    async def _pay(self, count: int) -> list[str]:
        """So many complete payments; their ids."""
        applied = await self._applied_events()
        intents: list[str] = []
        await self._flood(self._creates(count), _collect(intents))
        await self._flood(self._confirms(intents), _expect(200))
        await self._until_applied(applied + count)
        return intents

    async def _flood(
        self, requests: Iterator[bytes], check: Callable[[Response], None]
    ) -> tuple[int, float]:
        """Send all, as fast as they are answered: how many, and seconds."""
        sent = await flood(self._client, requests, check)
        self._busy_until = time.perf_counter()
        return sent

    def _creates(self, count: int) -> Iterator[bytes]:
        """Each under an idempotency key of its own."""
        return map(self._create_of, itertools.islice(self._numbers, count))

    def _create_of(self, number: int) -> bytes:
        body = {"amount": 1999, "currency": "eur", "reference": f"order-{number}"}
        key = f"Idempotency-Key: create-{self._run}-{number}\r\n"
        return self._client.request("POST", "/payment-intents", body, key)

    def _confirms(self, intents: Sequence[str]) -> Iterator[bytes]:
        body = {
            "payment_method": {"type": "card", "token": "pm_card_visa"},
            "return_url": "https://shop.example/done",
        }
        for intent in intents:
            path, key = f"/payment-intents/{intent}/confirm", f"Idempotency-Key: {intent}\r\n"
            yield self._client.request("POST", path, body, key)

    def _refunds(self, intents: Sequence[str]) -> Iterator[bytes]:
        body = {"amount": 500, "reason": "requested_by_customer"}
        for intent in intents:
            path, key = f"/payment-intents/{intent}/refund", f"Idempotency-Key: {intent}\r\n"
            yield self._client.request("POST", path, body, key)

    def _events(self, count: int) -> Iterator[bytes]:
        secret = self.ready["webhook_secret"].encode()
        for number in itertools.islice(self._numbers, count):
            now = int(time.time())
            body = json.dumps(_event(f"{self._run}_{number}", now)).encode()
            signature = hmac.new(secret, f"{now}.".encode() + body, hashlib.sha256).hexdigest()
            header = f"Stripe-Signature: t={now},v1={signature}\r\n"
            yield self._client.request("POST", "/webhooks", body, header)

    def _cpu(self) -> Cpu:
        return self._gateway.cpu(but=self._own)

    def _cpu_each(self, row: str, before: Cpu, count: int) -> Sample:
        """The CPU rows beneath a row that counted so many."""
        gateway, database = (seconds / count * 1e3 for seconds in self._cpu().since(before))
        return {
            f"{row}/gateway": gateway,
            f"{row}/database": database,
            f"{row}/cpu": gateway + database,
        }

    async def _counters(self) -> Counters:
        return await counters(self._connection)

    async def _until_counted(self) -> None:
        """Until PostgreSQL's processes have reported what they did for us."""
        counted = self._busy_until + self._sizes.flushed_seconds
        await asyncio.sleep(max(counted - time.perf_counter(), 0))

    async def _intents(self) -> int:
        return int(await self._connection.fetchval("SELECT count(*) FROM payment_intent"))

    async def _applied_events(self) -> int:
        """How many of the provider's events have been received and applied, or ignored."""
        return int(
            await self._connection.fetchval(
                "SELECT count(*) FROM provider_event WHERE status <> 'received'"
            )
        )

    async def _until_applied(self, count: int) -> None:
        """Until so many events are: also those that the sandbox has yet to deliver. In one
        transaction: the database counts those.
        """
        end = time.perf_counter() + APPLIED_WITHIN_SECONDS
        async with self._connection.transaction():
            while (applied := await self._applied_events()) < count:
                if time.perf_counter() > end:
                    raise BenchError(f"{count - applied} of the provider's events were not applied")
                await asyncio.sleep(0.02)
        self._busy_until = time.perf_counter()


async def door_round(door: commit_door.CommitDoor, sizes: Sizes) -> Sample:
    """The commit door alone, and pgbench beside it."""
    rate = await door.drive(sizes.changes)
    limit = await door.pgbench(next(commit_door.changes()), sizes.pgbench_seconds)
    return {"door": rate, "door/limit": limit, "door/ratio": rate / limit}


async def create_round(load: Load, door: commit_door.CommitDoor, sizes: Sizes) -> Sample:
    """Creates end to end, and pgbench beside them: intent, event, audit entry, idempotency key."""
    sample = await load.create()
    limit = await door.pgbench(commit_door.create_under_a_key(), sizes.pgbench_seconds)
    return {**sample, "create/limit": limit, "create/ratio": sample["create"] / limit}


def _event(number: str, now: int) -> dict[str, Any]:
    return {
        "id": f"evt_bench_{number}",
        "object": "event",
        "api_version": "2026-08-26.dahlia",
        "created": now,
        "livemode": False,
        "pending_webhooks": 1,
        "request": None,
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": f"pi_{number}", "object": "payment_intent", "metadata": {}}},
    }


def _expect(status: int) -> Callable[[Response], None]:
    def check(response: Response) -> None:
        if response.status != status:
            raise BenchError(f"the gateway answered {response.status}: {response.body[:300]!r}")

    return check


def _collect(intents: list[str]) -> Callable[[Response], None]:
    """Expect a created intent and keep its id."""

    def check(response: Response) -> None:
        _expect(201)(response)
        intents.append(json.loads(response.body)["id"])

    return check
