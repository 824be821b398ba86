"""A merchant of its own for a test, and what the audit log says of a request."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from paygate.domain.access.roles import Actor, Caller, Role
from paygate.domain.audit import AuditEntry
from paygate.flows.access.create_api_key import create_api_key
from paygate.flows.access.create_merchant import create_merchant
from paygate.flows.context import Context
from paygate.settings import load
from paygate.storage.records import Records
from paygate.wiring.keys import open_records
from paygate.wiring.service import open_context
from tests.gateway import Gateway, Response
from tests.storage.stored import TABLE_OF, select

_numbers = itertools.count(1)


class Shop(NamedTuple):
    """A merchant and its first admin key."""

    gateway: Gateway
    merchant: str
    admin: str

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Response:
        """A call with that key."""
        return await self.gateway.call(method, path, body, **({"key": self.admin} | more))

    async def made(self, role: str = "operator", **more: Any) -> dict[str, Any]:
        """A new key of this merchant's, as the API answered."""
        answer = await self.call("POST", "/api-keys", {"role": role, **more})
        assert answer.status == 201, answer
        return answer.json


@asynccontextmanager
async def inside(gateway: Gateway) -> AsyncIterator[Context]:
    """The flows' context, on the gateway's own database."""
    async with open_context(load({}, data=Path(gateway.ready["data_dir"])), name="test") as ctx:
        yield ctx


async def open_shop(gateway: Gateway) -> Shop:
    """A merchant that nobody else uses."""
    merchant = f"shop-{next(_numbers)}"
    caller = Caller(Actor("command", name="test"), merchant, "req_test")
    async with inside(gateway) as ctx:
        await create_merchant(ctx, caller, merchant)
        _, text = await create_api_key(ctx, caller, role=Role.ADMIN, name="first")
    return Shop(gateway, merchant, text.reveal())


async def audited(gateway: Gateway) -> dict[str, list[AuditEntry]]:
    """Every entry of the audit log by its request, oldest first."""
    records: Records = await open_records(load({}, data=Path(gateway.ready["data_dir"])))
    connection = await asyncpg.connect(gateway.ready["database_url"])
    rows = await connection.fetch(f"{select(TABLE_OF[AuditEntry])} ORDER BY at, id")
    await connection.close()
    found: dict[str, list[AuditEntry]] = {}
    for row in rows:
        entry = records.open(AuditEntry, tuple(row))
        found.setdefault(entry.request_id or "", []).append(entry)
    return found
