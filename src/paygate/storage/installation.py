"""The installation itself: its id, its mode, its keysets and its first merchant.

Made once, by the first migration's run, under the migrations' lock; read at every start.
"""

from collections.abc import Callable, Mapping

import msgspec

from paygate.crypto.keyring import ADDED_LATER
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.session import Connect, Connection, hang_up
from paygate.storage.connections.watch import watched
from paygate.storage.schema.migrate import be_alone
from paygate.storage.schema.versions import MigrationError, check_version, with_rights

DEFAULT_MERCHANT = "default"


class Installation(msgspec.Struct, frozen=True):
    """One provider account, in one mode, and what its keysets look like wrapped."""

    id: str
    livemode: bool
    keysets: Mapping[str, bytes]


async def install(
    connect: Connect,
    *,
    installation_id: str,
    livemode: bool,
    keysets: Callable[[str], Mapping[str, bytes]],
) -> Installation:
    """The installation in this database, made now if there is none.

    `keysets` makes the wrapped keysets for an installation id.

    Raises:
        MigrationError: the database belongs to the other mode, its role lacks a right, or there are
            records or keys and no installation: new keys would open none of them.
    """
    connection = await connect()
    waiting = watched(connect, connection)
    try:
        await be_alone(connection, lambda _: None, waiting)
        with waiting(), with_rights():
            async with connection.transaction():
                await check_version(connection)
                if await connection.fetchrow(QUERIES["installation"]) is None:
                    if await connection.fetchval(QUERIES["has_records"]):
                        raise MigrationError(
                            "the installation's row is gone, and its records are there: put the"
                            " tables installation and keyset back from a backup"
                        )
                    await connection.execute(QUERIES["install"], installation_id, livemode)
                    await connection.execute(QUERIES["add_merchant"], DEFAULT_MERCHANT)
                    await connection.executemany(
                        QUERIES["add_keyset"], list(keysets(installation_id).items())
                    )
                else:
                    await _add_later_keysets(connection, keysets)
    finally:
        await hang_up(connection)
    return await read_installation(connect, livemode=livemode)


async def _add_later_keysets(
    connection: Connection, keysets: Callable[[str], Mapping[str, bytes]]
) -> None:
    """Add keysets for purposes that came after the installation. One that was there once, and that
    something rests on, is never made anew.
    """
    there = {row["purpose"] for row in await connection.fetch(QUERIES["keysets"])}
    missing = ADDED_LATER - there
    if not missing:
        return
    head = await connection.fetchrow(QUERIES["audit_head"])
    if head is not None and head["number"]:
        raise MigrationError(
            "the keyset of the audit log is gone: restore the table keyset from a backup"
        )
    row = await connection.fetchrow(QUERIES["installation"])
    assert row is not None, "it was just read"
    made = keysets(row["id"])
    await connection.executemany(QUERIES["add_keyset"], [(name, made[name]) for name in missing])


async def stored_keysets(connect: Connect) -> tuple[str, Mapping[str, bytes]] | None:
    """The installation's id and its wrapped keysets, of whichever version the database is; None
    where nothing was made yet. Raises MigrationError: its role lacks a right.
    """
    connection = await connect()
    try:
        with watched(connect, connection)(), with_rights():
            if not await connection.fetchval(QUERIES["has_installation"]):
                return None
            row = await connection.fetchrow(QUERIES["installation"])
            keysets = await connection.fetch(QUERIES["keysets"])
    finally:
        await hang_up(connection)
    return None if row is None else (row["id"], {k["purpose"]: k["wrapped"] for k in keysets})


async def read_installation(connect: Connect, *, livemode: bool) -> Installation:
    """The installation in this database.

    Raises:
        MigrationError: it was not migrated for this version, is beyond it, belongs to the other
            mode, or its role lacks a right.
    """
    connection = await connect()
    try:
        with watched(connect, connection)(), with_rights():
            await check_version(connection)
            row = await connection.fetchrow(QUERIES["installation"])
            keysets = await connection.fetch(QUERIES["keysets"])
    finally:
        await hang_up(connection)
    if row is None:
        raise MigrationError("the database has no installation yet: run `paygate migrate`")
    if row["livemode"] != livemode:
        mode = {True: "live", False: "test"}
        raise MigrationError(
            f"this database holds {mode[row['livemode']]} payments and the provider's key is a"
            f" {mode[livemode]} key: use another database for the other mode"
        )
    return Installation(row["id"], row["livemode"], {k["purpose"]: k["wrapped"] for k in keysets})
