"""An erased customer in what others tell of their payments - settlements, reports, exports - and
an erasure in the same moment as a rotation of the records' key.
"""

import io
from pathlib import Path

import msgspec
import pytest

from paygate.crypto.keyring import Purpose, add_key, load_keyring, promote_key
from paygate.crypto.kms import FileKms
from paygate.domain.event import Event
from paygate.domain.exports import ExportKind
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.settlements.line import LinePage
from paygate.flows.exports.export import Wanted, export
from paygate.flows.housekeeping.late_events import go_on_erasing
from paygate.storage.erasure import Erasure, SealedEvent
from paygate.storage.resealing import tables
from tests.domain.settlements.reports.reading import csv_of
from tests.flows.customers.test_erase import PLANTED, customer_of, erased, filled, holding
from tests.flows.settlements.paying import C, PayingProvider, charged, line, pays
from tests.flows.settlements.reporting import HEADER, bring, own_row, row
from tests.flows.settlements.stories import settle
from tests.flows.world import INSTALLATION, World
from tests.storage.stored import TABLE_OF

PERSON = (f"{PLANTED}@shop.example", f"Ada {PLANTED}", f"For {PLANTED}")
OF_PERSON = ("customer_email", "customer_name", "description")
"""Columns that a report of Stripe's may have."""


@pytest.fixture
def paying_world(world: World) -> World:
    world.provider = PayingProvider()
    world.use(provider=world.provider)
    return world


def naming_report() -> bytes:
    """A report of a payout, whose rows name the person."""
    lines = [line("txn_reported", 1000)]
    rows = [row("po_2", each) for each in (*lines, own_row("po_2", lines))]
    return csv_of((*HEADER, *OF_PERSON), *((*each, *PERSON) for each in rows))


async def exported(world: World) -> dict[ExportKind, str]:
    texts = {}
    for kind in ExportKind:
        text = io.StringIO()
        await export(world.ctx, world.caller, Wanted(kind), text.write, lambda *_: None)
        texts[kind] = text.getvalue()
    return texts


async def test_no_settlement_and_no_export_shows_the_person(
    paying_world: World, tmp_path: Path
) -> None:
    """They never did: what a line or a row says of a person is not kept of it."""
    world = paying_world
    intent = await filled(world)
    pays(world, "po_1", charged(intent), line("txn_odd", -85, C.UNKNOWN, customer_amount=None))
    await settle(world)
    assert (await bring(world, tmp_path, naming_report())).lines_read == 2
    assert len(await world.all(LinePage)) == 2
    assert await holding(world)
    told = await exported(world)
    assert intent.id in told[ExportKind.SETTLEMENT_LINES]
    assert [kind for kind, text in told.items() if PLANTED in text] == []
    await erased(world, intent)
    assert await holding(world) == {}
    after = await exported(world)
    assert [kind for kind, text in after.items() if PLANTED in text] == []
    assert after[ExportKind.SETTLEMENT_LINES] == told[ExportKind.SETTLEMENT_LINES]


async def test_no_sealed_table_is_forgotten_here(world: World) -> None:
    """`holding` opens what is declared: nothing else is sealed, but the reports that are read."""
    rows = await world.connection.fetch(
        "SELECT c.relname AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE a.attname = 'sealed' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    )
    assert {row["name"] for row in rows} == {table.name for table in TABLE_OF.values()}


def turn_to_a_new_key(world: World, kek: Path, wrapped: dict[str, bytes]) -> None:
    """As a process does that has loaded the keysets after a rotation."""
    kms, records = FileKms.open(kek), Purpose.RECORDS
    added, key = add_key(kms, INSTALLATION, records, wrapped[records])
    promoted = promote_key(kms, INSTALLATION, records, added, key)
    keyring = load_keyring(kms, INSTALLATION, {**wrapped, records: promoted})
    world.records._sealer.turn_to(keyring)


@pytest.fixture
async def intent(world: World, tmp_path: Path) -> PaymentIntent:
    """A payment, with all of a person under the old key; what comes is written under a new."""
    intent = await filled(world)
    rows = await world.connection.fetch("SELECT purpose, wrapped FROM keyset")
    turn_to_a_new_key(world, tmp_path / "kek", {r["purpose"]: r["wrapped"] for r in rows})
    return intent


async def resealed(world: World) -> None:
    """All of it, in one pass."""
    async with world.ctx.resealing.session() as session:
        for stored in tables():
            page = await session.page(stored, None)
            await session.rewrite(stored, page.rows)


async def all_under_one_key(world: World) -> None:
    await resealed(world)
    counts = await world.ctx.resealing.counts()
    assert {count.key for count in counts} == {world.ctx.resealing.primary}


async def test_what_was_read_before_an_erasure_is_not_put_back(
    world: World, intent: PaymentIntent
) -> None:
    """By whoever seals anew, who read it all, and writes when it is gone."""
    async with world.ctx.resealing.session() as session:
        read = [(stored, (await session.page(stored, None)).rows) for stored in tables()]
        assert sum(len(rows) for _, rows in read)
        await erased(world, intent)
        for stored, rows in read:
            await session.rewrite(stored, rows)
    assert (await customer_of(world, intent)).erased_at is not None
    assert await holding(world) == {}
    await all_under_one_key(world)


async def test_what_is_sealed_anew_amid_an_erasure_is_erased(
    world: World, intent: PaymentIntent
) -> None:
    """An event that was read, and is other bytes when it is to be written: it is not told of as
    erased until another pass has found it.
    """
    whole, events = world.ctx, await world.all(Event)

    class Amid(Erasure):
        async def overwrite_event(self, before: SealedEvent, after: Event) -> bool:
            await resealed(world)
            return await super().overwrite_event(before, after)

    amid = Amid(whole.erasure._pool, whole.erasure._searches, world.records)
    world.ctx = msgspec.structs.replace(whole, erasure=amid)
    await erased(world, intent)
    assert (await customer_of(world, intent)).erased_at is None
    world.ctx = whole
    await go_on_erasing(world.ctx, "run_1")
    assert (await customer_of(world, intent)).erased_at is not None
    assert await holding(world) == {}
    assert {event.id for event in await world.all(Event)} == {event.id for event in events}
    await all_under_one_key(world)
