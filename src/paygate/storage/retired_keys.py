"""Has a process write nothing under a key that was retired while it was cut off.

A process that stood still (its machine was paused, its network parted) may have lost all of its
connections, and with them the locks by which `retire` waits for it. So whoever gets a connection in
place of one that was lost looks which keys are retired by now, before anything is written.
"""

from collections.abc import Sequence
from typing import Any, Final

from paygate.crypto.seal import SealError, key_id_of
from paygate.storage.blocks import QUERIES
from paygate.storage.change import Unavailable
from paygate.storage.commit.statement import Section
from paygate.storage.connections.session import Connect, Connection
from paygate.storage.records import Records

_BEHIND: Final = (
    "this process has keys that were retired while it was cut off, and loads the newest"
)


class RetiredKeys:
    """Those that this process knows of, and what it may not write because of them."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._retired: frozenset[int] = frozenset()

    async def look(self, connection: Connection) -> None:
        """Learn which keys are retired by now."""
        rows = await connection.fetch(QUERIES["retired_keys"])
        self._retired = frozenset(row["key"] for row in rows)

    def forbids(self, rows: Sequence[tuple[Section, tuple[Any, ...]]]) -> bool:
        """Whether a change was made with one: its first row is its audit entry, sealed as all are.
        Of hashes nothing tells their key, so for them it is the one that is used now.
        """
        if not self._retired:
            return False
        try:
            return key_id_of(rows[0][1][-1]) in self._retired or self._in_use()
        except SealError:
            return False

    def guarded(self, connect: Connect) -> Connect:
        """Connections that are not given while this process would use such a key."""

        async def dial() -> Connection:
            connection = await connect()
            try:
                await self.look(connection)
                self._refuse_behind()
            except BaseException:
                connection.terminate()
                raise
            return connection

        return dial

    def _refuse_behind(self) -> None:
        if self._in_use():
            raise Unavailable(_BEHIND)

    def _in_use(self) -> bool:
        return bool(self._retired & {self._records.primary, self._records.index.primary})
