"""Export the audit log as lines of JSON, with all that somebody needs who checks the chain without
us: contents, salts, hashes and signatures (docs/audit.md; docs/audit/verify_export.py checks it).
"""

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry
from paygate.domain.audit_chain import FORMAT, GENESIS, Head, microseconds
from paygate.flows.context import Context
from paygate.storage.audit_chain import Link
from paygate.storage.change import Change

Progress = Callable[[str, float, float | None], None]


async def export_audit_log(
    ctx: Context, caller: Caller, *, first: int = 1, progress: Progress
) -> AsyncIterator[bytes]:
    """The lines, the oldest entry first, from a number on; the export is an entry itself, committed
    before the first line is given.
    """
    details = {"first": str(first)}
    await ctx.door.commit(Change(ctx.audit(caller, Action.AUDIT_EXPORT, details=details)))
    async with ctx.audit_chain.session() as session:
        head, previous = await session.head(), Head(0, GENESIS)
        if first > 1:
            async for links in session.links(first - 1):
                seal = links[0].seal
                previous = Head(seal.number, seal.hash)
                break
        yield _line(_begin(ctx, first, previous))
        count, end = 0, previous
        async for links in session.links(first if previous.number < first else previous.number + 1):
            for link in links:
                yield _line(_entry(ctx, link))
                end = Head(link.seal.number, link.seal.hash)
            count += len(links)
            progress("audit entries", end.number, head.number)
        yield _line({"object": "audit_export_end", "count": count, "hash": end.hash.hex()})


def _begin(ctx: Context, first: int, previous: Head) -> dict[str, Any]:
    keys = ctx.audit_keys.public_keys()
    return {
        "object": "audit_export",
        "format": FORMAT,
        "installation": ctx.installation,
        "first": first,
        "previous_number": previous.number,
        "previous": previous.hash.hex(),
        "public_keys": {str(key): public.hex() for key, public in keys.items()},
    }


def _entry(ctx: Context, link: Link) -> dict[str, Any]:
    seal, entry, record = link
    salt = ctx.audit_keys.salt(seal.key, seal.merchant, seal.entry)
    return {
        "object": "audit_export_entry",
        "number": seal.number,
        "merchant": seal.merchant,
        "id": seal.entry,
        "at": microseconds(seal.at),
        "subject": None if entry is None else entry.subject,
        "action": None if entry is None else entry.action,
        "actor": None if entry is None else entry.actor,
        "content": None if entry is None else base64.b64encode(entry.content).decode(),
        "entry": record if isinstance(record, AuditEntry) else None,
        "salt": None if salt is None else salt.hex(),
        "leaf": seal.leaf.hex(),
        "hash": seal.hash.hex(),
        "key": str(seal.key),
        "signature": None if seal.signature is None else seal.signature.hex(),
    }


def _line(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
