"""The keysets as they are stored: read together, and edited one generation on, with the audit entry
of the edit. Which processes have loaded an edit, the server tells by the locks that they hold.

The wrapped keysets and what is known of their keys are held against each other at every reading: a
keyset of before the last rotation, put back by a hand, is refused.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from paygate.crypto.keyring import (
    Keyring,
    KeyringError,
    Purpose,
    add_key,
    disable_key,
    enable_key,
    load_keyring,
    promote_key,
    rewrap_keyring,
)
from paygate.crypto.kms import Kms
from paygate.crypto.proofs import AUDIT_HEAD, Proofs
from paygate.domain.audit import AuditEntry
from paygate.storage.blocks import QUERIES
from paygate.storage.commit.lane import LANE_LOCK_CLASS
from paygate.storage.connections.database import own_connection, reading
from paygate.storage.connections.session import Connect, Connection
from paygate.storage.records import Records

KEYSETS_LOCK_CLASS: Final = 0x70677901
"""First half of the advisory lock that a process holds for as long as it works with a generation of
the keysets; the generation is the second."""

Waiting = Callable[[], AbstractContextManager[None]]


class KeyFacts(NamedTuple):
    """What is known of a key beside what its keyset says."""

    added_at: datetime
    promoted_at: datetime | None
    sealed_at: datetime | None
    """Since when nothing is left under any other key."""
    retired_at: datetime | None


class Loaded(NamedTuple):
    """The keysets at one moment, opened."""

    keyring: Keyring
    generation: int
    """Of all keysets together: it grows with every edit of any."""
    generations: Mapping[Purpose, int]
    wrapped: Mapping[str, bytes]
    made_at: Mapping[Purpose, datetime]
    asked: Mapping[Purpose, bytes | None]
    """The hash of the proof that the next edit shows (migration 0036)."""

    def primary(self, purpose: Purpose) -> int:
        """The key that is used for what is new."""
        return next(key.key_id for key in self.keyring.keys[purpose] if key.primary)


class Processes(NamedTuple):
    """Who writes in this database, and with which keysets."""

    writers: int
    ready: int
    ahead: bool
    """Whether one works with a later generation than was asked for."""
    behind: Sequence[str]
    """Those that hold an older generation, by the names of their connections."""

    @property
    def all_ready(self) -> bool:
        """Whether every process that can write has loaded the generation that was asked for."""
        return self.ready >= self.writers and not self.behind


class Keysets:
    """Raises `Unavailable` when the database does not answer, `KeyringError` when what is stored
    does not open or is not what was stored last.
    """

    def __init__(self, connect: Connect, kms: Kms, installation: str) -> None:
        self._connect = connect
        self._kms = kms
        self._installation = installation
        self._records: Records | None = None

    async def load(self) -> Loaded:
        """Read and open the keysets."""
        async with own_connection(self._connect) as (connection, waiting):
            return await self.load_over(connection, waiting)

    async def load_over(self, connection: Connection, waiting: Waiting) -> Loaded:
        """The same over a connection that there is."""
        with reading(), waiting():
            rows = await connection.fetch(QUERIES["keyrings"])
        wrapped = {row["purpose"]: row["wrapped"] for row in rows}
        # In a thread: a key service may keep it waiting, and payments run on this loop.
        keyring = await asyncio.to_thread(load_keyring, self._kms, self._installation, wrapped)
        by_purpose = {
            Purpose(row["purpose"]): row for row in rows if row["purpose"] in set(Purpose)
        }
        for purpose, row in by_purpose.items():
            _refuse_older(keyring, purpose, dict(row))
        return Loaded(
            keyring=keyring,
            generation=sum(row["generation"] for row in rows),
            generations={purpose: row["generation"] for purpose, row in by_purpose.items()},
            wrapped=wrapped,
            made_at={purpose: row["created_at"] for purpose, row in by_purpose.items()},
            asked={purpose: row["proof_hash"] for purpose, row in by_purpose.items()},
        )

    async def facts(self) -> Mapping[tuple[Purpose, int], KeyFacts]:
        """What is known of keys, by purpose and id. None of those that were never edited."""
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                rows = await connection.fetch(QUERIES["keyset_keys"])
        known = set(Purpose)
        return {
            (Purpose(row["purpose"]), row["key"]): KeyFacts(*tuple(row)[2:])
            for row in rows
            if row["purpose"] in known
        }

    async def processes(self, generation: int) -> Processes:
        """Who has loaded a generation."""
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                row = await connection.fetchrow(
                    QUERIES["keyset_processes"], LANE_LOCK_CLASS, KEYSETS_LOCK_CLASS, generation
                )
        assert row is not None, "a count is there"
        return Processes(*row)

    async def add(self, before: Loaded, purpose: Purpose, audit: "Audited") -> int:
        """Add a fresh key, which seals nothing yet; returns its id."""
        keyset, key = add_key(self._kms, self._installation, purpose, before.wrapped[purpose.value])
        await self._edit(before, {purpose: keyset}, QUERIES["keyset_key_added"], key, audit(key))
        return key

    async def promote(self, before: Loaded, purpose: Purpose, key: int, audit: AuditEntry) -> None:
        """Have a key used for all that is new."""
        keyset = promote_key(
            self._kms, self._installation, purpose, before.wrapped[purpose.value], key
        )
        await self._edit(before, {purpose: keyset}, QUERIES["keyset_key_promoted"], key, audit)

    async def disable(self, before: Loaded, purpose: Purpose, key: int, audit: AuditEntry) -> None:
        """Give up a key: nothing opens with it any more."""
        keyset = disable_key(
            self._kms, self._installation, purpose, before.wrapped[purpose.value], key
        )
        await self._edit(before, {purpose: keyset}, QUERIES["keyset_key_retired"], key, audit)

    async def enable(self, before: Loaded, purpose: Purpose, key: int, audit: AuditEntry) -> None:
        """Undo that."""
        keyset = enable_key(
            self._kms, self._installation, purpose, before.wrapped[purpose.value], key
        )
        await self._edit(before, {purpose: keyset}, QUERIES["keyset_key_enabled"], key, audit)

    async def rewrap(self, before: Loaded, kms: Kms, audit: AuditEntry) -> None:
        """Wrap every keyset under another KMS, all in one commit."""
        made = rewrap_keyring(self._kms, kms, self._installation, before.wrapped)
        keysets = {Purpose(name): keyset for name, keyset in made.items()}
        await self._edit(before, keysets, None, 0, audit)

    async def seal_ended(self, purpose: Purpose, key: int) -> None:
        """Write down that nothing is left under any other key."""
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                await connection.execute(QUERIES["keyset_key_sealed"], purpose.value, key)

    @asynccontextmanager
    async def transactions_over(self) -> AsyncIterator[Callable[[], Any]]:
        """Gives a question: whether every transaction that wrote before now has come to its end."""
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                now = await connection.fetchval(QUERIES["transaction_now"])

            async def over() -> bool:
                with reading(), waiting():
                    return bool(await connection.fetchval(QUERIES["transactions_over"], now))

            yield over

    async def ask_for_proofs(self, loaded: Loaded) -> None:
        """Have the keysets and the head of the audit log ask whoever changes them for a proof,
        where they do not yet: the installation is new, or of before.
        """
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                for purpose, generation in loaded.generations.items():
                    asked = asked_of(loaded.keyring, purpose, generation)
                    await connection.execute(
                        QUERIES["ask_keyset_proof"], purpose.value, generation, asked
                    )
                head = await connection.fetchrow(QUERIES["audit_head"])
                assert head is not None, "the schema made it"
                asked = Proofs(loaded.keyring).asked(AUDIT_HEAD, str(head["turn"]))
                await connection.execute(QUERIES["ask_audit_head_proof"], head["turn"], asked)

    def bind(self, records: Records) -> None:
        """What the entries of edits are sealed with."""
        self._records = records

    async def _edit(
        self,
        before: Loaded,
        keysets: Mapping[Purpose, bytes],
        stamp: str | None,
        key: int,
        audit: AuditEntry,
    ) -> None:
        """Store keysets in place of those that were read, in one commit with what is known of the
        key and with the audit entry.
        """
        assert self._records is not None, "bound when the keys were open"
        shown = {purpose: _shown(before, purpose) for purpose in keysets}
        entry = [column[0] for column in self._records.columns((audit,))]
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                async with connection.transaction():
                    for purpose, keyset in keysets.items():
                        edited = await connection.fetchval(
                            QUERIES["edit_keyset"],
                            purpose.value,
                            keyset,
                            before.generations[purpose],
                            shown[purpose],
                            asked_of(before.keyring, purpose, before.generations[purpose] + 1),
                        )
                        if edited is None:
                            raise KeyringError(
                                f"the keyset for {purpose.value} was edited by somebody else at"
                                " this moment: look, and do this again"
                            )
                        known = [each.key_id for each in before.keyring.keys[purpose]]
                        await connection.execute(
                            QUERIES["know_keyset_keys"],
                            purpose.value,
                            known,
                            before.primary(purpose),
                        )
                        if stamp is not None:
                            await connection.execute(stamp, purpose.value, key)
                    await connection.execute(QUERIES["keyset_audited"], *entry)


Audited = Callable[[int], AuditEntry]
"""Makes the entry that names a key."""


def asked_of(keyring: Keyring, purpose: Purpose, generation: int) -> bytes:
    """The hash of the proof that the edit of a keyset of this generation shows."""
    return Proofs(keyring).asked("keyset", purpose.value, str(generation))


def _shown(loaded: Loaded, purpose: Purpose) -> bytes | None:
    """The proof that an edit shows. Raises KeyringError: our keys do not make it."""
    place = ("keyset", purpose.value, str(loaded.generations[purpose]))
    asked = loaded.asked[purpose]
    proof = Proofs(loaded.keyring).shown(asked, *place)
    if proof is None and asked is not None:
        raise KeyringError(
            f"the keyset for {purpose.value} asks for a proof (proof_hash) that is not made of our"
            " audit key: somebody wrote to the table keyset, or brought it from elsewhere. Put the"
            " table back as it was"
        )
    return proof


def _refuse_older(keyring: Keyring, purpose: Purpose, row: Mapping[str, Any]) -> None:
    keys = {key.key_id: key for key in keyring.keys[purpose]}
    lacking = [str(key) for key in row["known"] if key not in keys]
    primary, what = row["primary_key"], None
    if lacking:
        what = f"lacks key {', '.join(lacking)}, which this database knows"
    elif primary is not None and not keys[primary].primary:
        what = f"does not use key {primary}, which this database knows as the newest"
    if what is not None:
        raise KeyringError(
            f"the keyset for {purpose.value} {what}: it is an older one, put back by a hand."
            f" {_put_back(row['edited_at'])}"
        )


def _put_back(edited_at: datetime) -> str:
    return (
        "Nothing was changed. Put back the table keyset alone, whole, from a backup of after"
        f" {edited_at:%Y-%m-%d %H:%M:%S} UTC, and leave processes running that run: they have the"
        " newest keys"
    )
