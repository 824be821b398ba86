"""The commit door alone: creates with two seals, no HTTP, one process."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import generate_keyring, load_keyring
from paygate.crypto.kms import FileKms
from paygate.crypto.seal import Sealer
from paygate.domain import event as events
from paygate.domain.access.roles import Action, Actor
from paygate.domain.audit import AuditEntry
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.ids import make_id
from paygate.domain.money import Currency
from paygate.domain.payments.payment_intent import (
    CaptureMethod,
    PaymentIntent,
    PaymentMethodType,
    Status,
)
from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.change import Change, Committed
from paygate.storage.commit.committer import Committer
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from paygate.storage.records import Records
from paygate.storage.schema.migrate import migrate
from tools.bench import pgbench

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
    event = events.of(
        intent,
        "payment_intent.created",
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


class CommitDoor:
    """A commit door in this process on a server of its own, where pgbench is measured too."""

    def __init__(self, dsn: str, folder: Path, records: Records, door: Door) -> None:
        self._dsn = dsn
        self._folder = folder
        self._records = records
        self._door = door

    async def drive(self, count: int) -> float:
        """Changes a second that the door commits."""
        source = itertools.islice(changes(), count)

        async def caller() -> None:
            for change in source:
                assert isinstance(await self._door.commit(change), Committed)

        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return count / (time.perf_counter() - started)

    async def pgbench(self, change: Change, seconds: int) -> float:
        """Transactions a second of pgbench that write the rows of such a change."""
        rows = self._records.rows(change)
        return await asyncio.to_thread(pgbench.run, self._dsn, rows, self._folder, seconds)


@asynccontextmanager
async def open_door(folder: Path) -> AsyncIterator[CommitDoor]:
    """A commit door on a new server in this folder, which is there."""
    server = await asyncio.to_thread(EmbeddedPostgres.start, folder / "postgres")
    try:
        dial = connector(server.dsn, name="paygate bench")
        await migrate(dial)
        kms = FileKms.create(folder / "kek")
        keyring = load_keyring(kms, "in_bench", generate_keyring(kms, "in_bench"))
        records = Records(Sealer(keyring), BlindIndex(keyring))
        committer = Committer(dial)
        await committer.open()
        try:
            yield CommitDoor(server.dsn, folder, records, Door(records, committer))
        finally:
            await committer.close()
    finally:
        await asyncio.to_thread(server.stop)
