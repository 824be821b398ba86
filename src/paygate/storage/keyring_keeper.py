"""Keeps a process's keys as the database has them: an edit is loaded as soon as it is told.

One connection listens, and holds a lock that shows which generation of the keysets this process
works with: who rotates keys waits for it. A process that lost that connection shows none, and is
waited for until it has another.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from paygate.crypto.keyring import Keyring, KeyringError, Purpose
from paygate.storage.blocks import QUERIES
from paygate.storage.change import StorageError, Unavailable
from paygate.storage.connections.database import reading
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, Connection
from paygate.storage.connections.watch import watched
from paygate.storage.keysets import KEYSETS_LOCK_CLASS, Keysets, Loaded, Waiting
from paygate.telemetry import log

CHANNEL: Final = "paygate_keyset"
REDIAL_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 10.0
"""How often the connection is tried. An edit is told at once over one that lives, and who rotates
waits for a process that does not show it; a record under a key that is not known here is asked for.
"""
TRY_AGAIN_SECONDS: Final = 60.0
"""After keysets that did not open: a remote KMS is not asked at every beat."""
ASK_WITHIN_SECONDS: Final = 3.0
ASK_AGAIN_SECONDS: Final = 10.0
"""For one key id: a damaged row has any, and must not hold up the process again and again."""

KEYS_ASKED: Final = 100
"""Ids that are remembered as asked for: rows that were spoilt by the thousand fill no memory."""


class KeyringKeeper:
    """Turns a process to the newest keys."""

    def __init__(
        self,
        connect: Connect,
        keysets: Keysets,
        loaded: Loaded,
        turn: Callable[[Keyring], None],
        drained: Callable[[], Awaitable[None]],
    ) -> None:
        """`turn` has all of the process use a keyring; `drained` waits until nothing is on its way
        that was made with the one before.
        """
        self._connect = connect
        self._keysets = keysets
        self._generation = loaded.generation
        self._turn = turn
        self._drained = drained
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tried = (0, 0.0)
        """The generation that did not open, and when it was tried."""
        self._asked: dict[int, float] = {}

    async def open(self) -> None:
        """Begin; when this returns, the process has the newest keys and shows it.

        Raises:
            Unavailable: the database does not answer.
            KeyringError: the keysets were edited meanwhile, and do not open.
        """
        with reading():
            connection = await self._connect()
        try:
            waiting = watched(self._connect, connection)
            await self._begin(connection, waiting, strict=True)
        except BaseException:
            connection.terminate()
            raise
        self._task = asyncio.create_task(self._keep(connection, waiting))

    async def close(self) -> None:
        """Show nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def look_again(self, key: int) -> Keyring | None:
        """The keyring as the database has it, for a record under a key that this process has not
        heard of; None when it cannot be had, or does not have the key either.

        It holds up the process, for it is asked in the middle of a reading: some milliseconds, at
        most a few seconds, and seldom.
        """
        if monotonic() - self._asked.get(key, -ASK_AGAIN_SECONDS) < ASK_AGAIN_SECONDS:
            return None
        if len(self._asked) > KEYS_ASKED:
            self._asked.clear()
        self._asked[key] = monotonic()
        found: list[Keyring] = []

        def ask() -> None:
            with suppress(StorageError, KeyringError):
                found.append(asyncio.run(self._keysets.load()).keyring)

        asking = threading.Thread(target=ask, daemon=True, name="keyring")
        asking.start()
        asking.join(ASK_WITHIN_SECONDS)
        self._told.set()
        keys = found[0].keys[Purpose.RECORDS] if found else ()
        return found[0] if any(each.key_id == key for each in keys) else None

    async def _keep(self, connection: Connection, waiting: Waiting) -> None:
        """Listen until the connection is lost, and then over another one."""
        while True:
            try:
                await self._listen(connection, waiting)
            except (OSError, StorageError, *DRIVER_FAULTS) as error:
                log.logger().warning("keyring_connection_lost", error=error)
            finally:
                connection.terminate()
            connection, waiting = await self._dial_again()

    async def _dial_again(self) -> tuple[Connection, Waiting]:
        """Another connection, on which the generation is shown again."""
        while True:
            await asyncio.sleep(REDIAL_SECONDS)
            with suppress(OSError, StorageError, *DRIVER_FAULTS):
                connection = await self._connect()
                waiting = watched(self._connect, connection)
                try:
                    await self._begin(connection, waiting, strict=False)
                except BaseException:
                    connection.terminate()
                    raise
                return connection, waiting

    async def _begin(self, connection: Connection, waiting: Waiting, *, strict: bool) -> None:
        with reading(), waiting():
            await connection.add_listener(CHANNEL, lambda *_: self._told.set())
            await connection.execute(
                QUERIES["hold_keyset_generation"], KEYSETS_LOCK_CLASS, self._generation
            )
        await self._catch_up(connection, waiting, strict=strict)

    async def _listen(self, connection: Connection, waiting: Waiting) -> None:
        connection.add_termination_listener(lambda _: self._told.set())
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._told.wait()
            self._told.clear()
            if connection.is_closed():
                raise Unavailable("the connection is gone")
            await self._catch_up(connection, waiting, strict=False)

    async def _catch_up(self, connection: Connection, waiting: Waiting, *, strict: bool) -> None:
        """Load what is newer than what this process has, and show that it has."""
        while True:
            with reading(), waiting():
                newest = await connection.fetchval(QUERIES["keyset_generation"])
            failed, at = self._tried
            if newest <= self._generation or (
                newest == failed and monotonic() - at < TRY_AGAIN_SECONDS
            ):
                return
            try:
                loaded = await self._keysets.load_over(connection, waiting)
            except KeyringError as error:
                if strict:
                    raise
                # It goes on with the keys that it has, and shows that it has none newer.
                self._tried = newest, monotonic()
                log.logger().error("keyring_not_loaded", error=error)
                return
            self._turn(loaded.keyring)
            await self._drained()
            with reading(), waiting():
                for query, generation in (
                    (QUERIES["hold_keyset_generation"], loaded.generation),
                    (QUERIES["leave_keyset_generation"], self._generation),
                ):
                    await connection.execute(query, KEYSETS_LOCK_CLASS, generation)
            self._generation = loaded.generation
            log.logger().info("keyring_loaded", generation=loaded.generation)
