"""A world's audit log: acts that it holds, a sealer at work, and the hands of a superuser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from paygate.checkpoints import CheckpointFile
from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry, Subject
from paygate.flows.audit_log.seal import LogSealer
from paygate.flows.audit_log.verify import Verified, verify_audit_log
from paygate.flows.context import CheckpointPlace, Context
from paygate.storage.change import Change, Committed
from tests.flows.world import World

TABLES = (
    "SELECT 'audit_seal' AS name UNION SELECT 'audit_head' UNION SELECT 'audit_entry'"
    " UNION SELECT place::text FROM months_of('audit_entry')"
)


class Log:
    """The log of a world, with its checkpoints in a file."""

    def __init__(self, world: World, file: Path | None) -> None:
        place = None if file is None else CheckpointFile(file)
        self.world = world
        self.file = file
        self.ctx = told_to(world.ctx, place)
        self.connection = world.connection
        self._number = 0

    async def act(self, count: int = 1) -> list[AuditEntry]:
        """So many acts, each in a commit of its own; their entries."""
        made = []
        for _ in range(count):
            self._number += 1
            details = {"state": "straße", "amount": f"{self._number} eur"}
            self.world.clock.forward(0.001)
            entry = self.ctx.audit(
                self.world.caller,
                Action.INTENT_READ,
                Subject("payment_intent", "pi_1"),
                details=details,
            )
            assert await self.ctx.door.commit(Change(entry)) == Committed()
            made.append(entry)
        return made

    async def seal(self) -> int:
        """A worker that starts, seals what there is, tells of it, and ends; how much it sealed."""
        sealer = LogSealer(self.ctx)
        count = await sealer.seal_waiting()
        await sealer.tell()
        await self.end_turn()
        return count

    async def end_turn(self) -> None:
        """As if the lease of whoever sealed last had run out."""
        await self.connection.execute(
            "ALTER TABLE audit_head DISABLE TRIGGER head_goes_forward;"
            "UPDATE audit_head SET leased_until = NULL;"
            "ALTER TABLE audit_head ENABLE ALWAYS TRIGGER head_goes_forward"
        )

    async def verify(self, **more: Any) -> Verified:
        return await verify_audit_log(self.ctx, self.world.caller, **more)

    async def found(self, **more: Any) -> tuple[int | None, str | None]:
        """Number and id of the first entry that is not as it was."""
        fault = (await self.verify(**more)).fault
        assert fault is not None
        return fault.number, fault.entry

    async def by_superuser(self, *statements: str) -> None:
        """Statements with every trigger switched off."""
        async with self.triggers_off():
            for statement in statements:
                await self.connection.execute(statement)

    @asynccontextmanager
    async def triggers_off(self) -> AsyncIterator[None]:
        names = [row["name"] for row in await self.connection.fetch(TABLES)]
        for name in names:
            await self.connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER ALL")
        try:
            yield
        finally:
            for name in names:
                await self.connection.execute(f"ALTER TABLE {name} ENABLE TRIGGER ALL")

    async def copy(self) -> dict[str, list[Any]]:
        """A backup of the log."""
        names = ("audit_entry", "audit_seal", "audit_head")
        return {name: await self.connection.fetch(f"SELECT * FROM {name}") for name in names}

    async def put_back(self, backup: dict[str, list[Any]]) -> None:
        """Put a backup of the log back, over what is there."""
        await self.by_superuser(*(f"DELETE FROM {name}" for name in backup))
        async with self.triggers_off():
            for name, rows in backup.items():
                for row in rows:
                    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
                    await self.connection.execute(
                        f"INSERT INTO {name} ({', '.join(row.keys())}) VALUES ({places})",
                        *row.values(),
                    )


def told_to(ctx: Context, place: CheckpointPlace | None) -> Context:
    """The same context with another place of checkpoints."""
    return msgspec.structs.replace(ctx, checkpoints=place)
