"""The gateway end to end: TLS, API key, seals, audit, two API processes, the simulator, the
worker, and this load generator, all on the same machine.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from paygate.bench import commit_door, pgbench
from paygate.bench.load import Client, Response, flood, pace
from paygate.bench.processes import Gateway
from paygate.bench.report import Figure, figure, percentile
from paygate.bench.seed import Seeded, seed_in_processes
from paygate.settings import load
from paygate.storage.database import connector
from paygate.storage.records import Records
from paygate.wiring import open_records

CONNECTIONS: Final = 32
CREATES: Final = 6_000
PAYMENTS: Final = 600
EVENTS: Final = 1_500
PACED_PER_SECOND: Final = 200
PACED: Final = 800
SETTLED_WITHIN_SECONDS: Final = 60
"""One event a card payment (`ENABLED_EVENTS`); if one is lost, the figure would be none."""
MANY_STORED: Final = 100_000
MOST_STORED: Final = 1_000_000

Progress = Callable[[str], None]


class PaymentsBench:
    """The rows that need the whole gateway."""

    def __init__(
        self, gateway: Gateway, folder: Path, repeats: int, progress: Progress, *, full: bool
    ) -> None:
        self._full = full
        self._ready = gateway.ready
        self._gateway = gateway
        self._folder = folder
        self._repeats = repeats
        self._progress = progress
        self._client = Client(
            self._ready["api_url"], self._ready["secret_key"], self._ready["ca_file"]
        )
        self._numbers = itertools.count()
        self._few_stored: list[float] = []
        self._records: Records | None = None

    async def measure(self) -> list[Figure]:
        """Every row, one after the other."""
        self._connection = await connector(self._ready["database_url"], name="bench")()
        await self._client.open(CONNECTIONS)
        try:
            figures = []
            for row in (self._create, self._overhead, self._payment, self._webhooks, self._stored):
                self._progress(row.__name__.strip("_"))
                figures += await row()
            return figures
        finally:
            self._client.close()
            await self._connection.close()

    def _creates(self, count: int) -> Iterator[bytes]:
        """Each under an idempotency key of its own."""
        return map(self._create_of, itertools.islice(self._numbers, count))

    def _create_of(self, number: int) -> bytes:
        body = {"amount": 1999, "currency": "eur", "reference": f"order-{number}"}
        key = f"Idempotency-Key: create-{number}\r\n"
        return self._client.request("POST", "/payment-intents", body, key)

    def _confirms(self, intents: list[str]) -> Iterator[bytes]:
        body = {
            "payment_method": {"type": "card", "token": "pm_card_visa"},
            "return_url": "https://shop.example/done",
        }
        for intent in intents:
            path, key = f"/payment-intents/{intent}/confirm", f"Idempotency-Key: {intent}\r\n"
            yield self._client.request("POST", path, body, key)

    async def _create(self) -> list[Figure]:
        """Creates, their replays and pgbench in turn, from a thousand stored intents on."""
        await flood(self._client, self._creates(CREATES // 6), _expect(201))
        creates, replays, limits = [], [], []
        for _ in range(self._repeats):
            first = next(self._numbers) + 1
            creates.append(await self._created_per_second(CREATES))
            again = map(self._create_of, range(first, first + CREATES))
            done, seconds = await flood(self._client, again, _expect(200))
            replays.append(done / seconds)
            limits.append(await self._pgbench())
        self._few_stored = creates
        return [
            figure("create, end to end", "creates/s", creates, limits=limits, goal=">= 0.5 x"),
            figure("replay of a create", "replays/s", replays, limits=creates, goal=">= 1 x"),
        ]

    async def _created_per_second(self, count: int) -> float:
        done, seconds = await flood(self._client, self._creates(count), _expect(201))
        return done / seconds

    async def _pgbench(self) -> float:
        """The rows that a create writes: intent, event, audit entry, idempotency key."""
        if self._records is None:
            self._records = await open_records(load({}, data=Path(self._ready["data_dir"])))
        rows = self._records.rows(commit_door.create_under_a_key())
        return await asyncio.to_thread(pgbench.run, self._ready["database_url"], rows, self._folder)

    async def _overhead(self) -> list[Figure]:
        """At a fixed rate: a create's whole latency, a confirm's without the provider's part."""
        created, confirmed = [], []
        for _ in range(self._repeats):
            settled = await self._settled_events()
            intents: list[str] = []
            answers = await pace(
                self._client,
                self._creates(PACED),
                PACED_PER_SECOND,
                _collect(intents),
            )
            created.append([answer.seconds * 1e3 for answer in answers])
            answers = await pace(
                self._client,
                self._confirms(intents[: PACED // 4]),
                PACED_PER_SECOND / 4,
                _expect(200),
            )
            confirmed.append([a.seconds * 1e3 - a.timing("provider") for a in answers])
            await self._until_settled(settled + len(answers))
        return [
            figure(
                f"{what} overhead {name} at {rate}/s",
                "ms",
                [percentile(v, share) for v in runs],
                goal=goal,
            )
            for what, rate, runs in (
                ("create", PACED_PER_SECOND, created),
                ("confirm", PACED_PER_SECOND // 4, confirmed),
            )
            for name, share, goal in (("p50", 0.5, "< 5 ms"), ("p99", 0.99, None))
        ]

    async def _payment(self) -> list[Figure]:
        """Create, confirm, and the provider's event received and applied."""
        rates, gateway_cpu, database_cpu = [], [], []
        for _ in range(self._repeats):
            settled = await self._settled_events()
            before = self._gateway.cpu_seconds()
            started = time.perf_counter()
            intents: list[str] = []
            await flood(self._client, self._creates(PAYMENTS), _collect(intents))
            await flood(self._client, self._confirms(intents), _expect(200))
            await self._until_settled(settled + PAYMENTS)
            rates.append(PAYMENTS / (time.perf_counter() - started))
            after = self._gateway.cpu_seconds()
            gateway_cpu.append((after[0] - before[0]) / PAYMENTS * 1e3)
            database_cpu.append((after[1] - before[1]) / PAYMENTS * 1e3)
        return [
            figure("complete payment", "payments/s", rates),
            figure("CPU a payment, gateway", "ms", gateway_cpu),
            figure("CPU a payment, database", "ms", database_cpu),
        ]

    async def _webhooks(self) -> list[Figure]:
        accepted, applied = [], []
        for _ in range(self._repeats):
            settled = await self._settled_events()
            started = time.perf_counter()
            count, seconds = await flood(self._client, self._events(EVENTS), _expect(200))
            accepted.append(count / seconds)
            await self._until_settled(settled + count)
            applied.append(count / (time.perf_counter() - started))
        return [
            figure("webhook accepted", "events/s", accepted),
            figure("webhook accepted and applied", "events/s", applied),
        ]

    def _events(self, count: int) -> Iterator[bytes]:
        secret = self._ready["webhook_secret"].encode()
        for number in itertools.islice(self._numbers, count):
            now = int(time.time())
            body = json.dumps(_event(number, now)).encode()
            signature = hmac.new(secret, f"{now}.".encode() + body, hashlib.sha256).hexdigest()
            header = f"Stripe-Signature: t={now},v1={signature}\r\n"
            yield self._client.request("POST", "/webhooks", body, header)

    async def _stored(self) -> list[Figure]:
        """Creates when many payments are stored already, beside those when few intents were."""
        figures = []
        for stored in (MANY_STORED, MOST_STORED) if self._full else (MANY_STORED,):
            await self._fill(stored)
            values = [await self._created_per_second(CREATES) for _ in range(self._repeats)]
            name = f"create, {stored:,} intents stored"
            limits = self._few_stored
            figures.append(figure(name, "creates/s", values, limits=limits, goal=">= 0.8 x"))
        return figures

    async def _fill(self, target: int) -> None:
        """Store payments, here and in the simulator, until there are `target` intents."""
        count = await self._connection.fetchval("SELECT count(*) FROM payment_intent")
        data = Path(self._ready["data_dir"])
        await asyncio.to_thread(seed_in_processes, data, Seeded(max(target - count, 0)))
        await self._connection.execute("ANALYZE")

    async def _settled_events(self) -> int:
        """How many of the provider's events have been received and applied, or ignored."""
        count = await self._connection.fetchval(
            "SELECT count(*) FROM provider_event WHERE status <> 'received'"
        )
        assert isinstance(count, int)
        return count

    async def _until_settled(self, count: int) -> None:
        """Until so many events are: also those that the simulator has yet to deliver."""
        async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
            while await self._settled_events() < count:  # noqa: ASYNC110 -- others apply them
                await asyncio.sleep(0.02)


def _event(number: int, now: int) -> dict[str, Any]:
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
            raise RuntimeError(f"the gateway answered {response.status}: {response.body[:300]!r}")

    return check


def _collect(intents: list[str]) -> Callable[[Response], None]:
    """Expect a created intent and keep its id."""

    def check(response: Response) -> None:
        _expect(201)(response)
        intents.append(json.loads(response.body)["id"])

    return check
