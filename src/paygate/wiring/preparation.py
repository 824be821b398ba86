"""A database made ready, and looked after, by the owner of its tables."""

import asyncio
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from paygate.crypto.keyring import check_keysets, generate_keyring
from paygate.domain.ids import RANDOM_BYTES, make_id
from paygate.settings import Settings
from paygate.storage.audit_seals import Turn
from paygate.storage.installation import (
    DEFAULT_MERCHANT,
    install,
    read_installation,
    stored_keysets,
)
from paygate.storage.keysets import Keysets
from paygate.storage.schema.application import grant_rights, make_role, role_of
from paygate.storage.schema.migrate import Tell, migrate
from paygate.storage.schema.taking_out import detach_months, disown_seals
from paygate.wiring.database import reach
from paygate.wiring.keys import kms_of
from paygate.wiring.machine import now
from paygate.wiring.provider import is_live


async def prepare_database(settings: Settings, tell: Tell = lambda _: None) -> list[str]:
    """Migrate, and make the installation if there is none. Returns the migrations applied; what it
    does, and whom it waits for, is told.

    Raises:
        KeyringError: the keys that are there do not open; the database is as it was. A keyset that
            is new in this version would be wrapped under a KEK that is not the others'.
    """
    livemode = is_live(settings)
    kms = kms_of(settings)
    dial = reach(settings, name="migrate", owner=True)
    role = await role_of(reach(settings, name="migrate"))
    there = await stored_keysets(dial)
    if there is not None:
        await asyncio.to_thread(check_keysets, kms, *there)
    applied = await migrate(dial, tell=tell)
    new_id = make_id("in_", int(now().timestamp() * 1000), secrets.token_bytes(RANDOM_BYTES))
    installation = await install(
        dial,
        installation_id=new_id,
        livemode=livemode,
        keysets=lambda installation: generate_keyring(kms, installation),
    )
    if installation.id == new_id:
        tell(
            f"made installation {new_id}, for {'live' if livemode else 'test'} payments,"
            f" with its keys and merchant {DEFAULT_MERCHANT}"
        )
    keysets = Keysets(dial, kms, installation.id)
    await keysets.ask_for_proofs(await keysets.load())
    if await grant_rights(dial, role):
        await read_installation(reach(settings, name="migrate"), livemode=livemode)
    return applied


async def detach_audit_months(
    settings: Settings, months: Sequence[str], tell: Tell = lambda _: None
) -> None:
    """Take months out of the audit log, as the tables' owner. Raises MigrationError."""
    dial = reach(settings, name="migrate", owner=True)
    await detach_months(dial, "audit_entry", months, tell=tell)


async def disown_audit_seals(
    settings: Settings, kept: int, seen: int, turn: Turn, tell: Tell = lambda _: None
) -> int:
    """Take seals out of the audit log, as the tables' owner. Raises MigrationError."""
    dial = reach(settings, name="migrate", owner=True)
    return await disown_seals(dial, kept, seen, *turn, tell=tell)


async def make_application_role(settings: Settings) -> None:
    """Make the role of `PAYGATE_DATABASE_URL`, which has no password, in a server of our own."""
    role = urlsplit(settings.require("database_url")).username
    assert role is not None, "we wrote the address"
    await make_role(reach(settings, name="migrate", owner=True), role)
