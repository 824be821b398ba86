"""The commit door alone: creates with two seals, no HTTP, one process."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from paygate.bench import pgbench
from paygate.bench.report import Figure, figure
from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import generate_keyring, load_keyring
from paygate.crypto.kms import FileKms
from paygate.crypto.seal import Sealer
from paygate.domain.access import Action, Actor
from paygate.domain.audit import AuditEntry
from paygate.domain.events import of_intent
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.ids import make_id
from paygate.domain.money import Currency
from paygate.domain.payment_intent import CaptureMethod, PaymentIntent, PaymentMethodType, Status
from paygate.storage.change import Change, Committed
from paygate.storage.committer import Committer
from paygate.storage.database import connector
from paygate.storage.door import Door
from paygate.storage.embedded import EmbeddedPostgres
from paygate.storage.migrate import migrate
from paygate.storage.records import Records

CHANGES: Final = 20_000
CALLERS: Final = 32
ANSWER_BYTES: Final = 1000
"""About what a create answers."""


def changes() -> Iterator[Change]:
    """Creates of intents, for ever."""
    for number in itertools.count():
        now = datetime.now(UTC)
        milliseconds = int(now.timestamp() * 1000)
        intent = PaymentIntent(
            id=make_id("pi_", milliseconds, secrets.token_bytes(10)),
            merchant="default",
            livemode=False,
            amount=1999,
            currency=Currency("eur"),
            status=Status.CREATED,
            capture_method=CaptureMethod.AUTOMATIC,
            payment_method_types=(PaymentMethodType.CARD,),
            provider="stripe",
            reference=f"order-{number}",
            created_at=now,
            updated_at=now,
        )
        audit = AuditEntry(
            id=make_id("au_", milliseconds, secrets.token_bytes(10)),
            merchant="default",
            at=now,
            actor=Actor("job"),
            action=Action.INTENT_CREATE,
        )
        yield Change(audit, creates=(intent,))


def create_under_a_key() -> Change:
    """What the API's create commits: intent, event, audit entry, idempotency key."""
    change = next(changes())
    (intent,) = change.creates
    assert isinstance(intent, PaymentIntent)
    event = of_intent(
        intent,
        event_id=make_id("evt_", 0, secrets.token_bytes(10)),
        at=intent.created_at,
        request_id="req_" + "0" * 26,
    )
    key = IdempotencyKey(
        id=secrets.token_hex(16),
        merchant=intent.merchant,
        state=KeyState.FINISHED,
        fingerprint=secrets.token_bytes(16),
        claim="req_" + "0" * 26,
        holder="req_" + "0" * 26,
        created_at=intent.created_at,
        updated_at=intent.created_at,
        body=bytes(ANSWER_BYTES),
    )
    return msgspec.structs.replace(change, creates=(intent, event, key))


async def measure(folder: Path, repeats: int) -> list[Figure]:
    """Changes a second through the door, in turn with pgbench on the same server."""
    server = await asyncio.to_thread(EmbeddedPostgres.start, folder / "door")
    try:
        dial = connector(server.dsn, name="paygate bench")
        await migrate(dial)
        kms = FileKms.create(folder / "kek")
        keyring = load_keyring(kms, "in_bench", generate_keyring(kms, "in_bench"))
        records = Records(Sealer(keyring), BlindIndex(keyring))
        committer = Committer(dial)
        await committer.open()
        door = Door(records, committer)
        await _drive(door, CHANGES // 10)
        values, limits = [], []
        for _ in range(repeats):
            values.append(await _drive(door, CHANGES))
            rows = records.rows(next(changes()))
            limits.append(await asyncio.to_thread(pgbench.run, server.dsn, rows, folder))
        await committer.close()
    finally:
        await asyncio.to_thread(server.stop)
    return [figure("commit door, 32 callers", "creates/s", values, limits=limits, goal=">= 1.3 x")]


async def _drive(door: Door, count: int) -> float:
    source = itertools.islice(changes(), count)

    async def caller() -> None:
        for change in source:
            assert isinstance(await door.commit(change), Committed)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return count / (time.perf_counter() - started)
