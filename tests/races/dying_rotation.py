"""A process that rotates, retires or wraps keys anew, and is killed after what it writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from paygate.crypto.kms import open_kms
from paygate.flows.context import Context
from paygate.flows.encryption.retire import retire_key
from paygate.flows.encryption.rewrap import rewrap_keysets
from paygate.flows.encryption.rotate import rotate_index_key, rotate_records_key
from paygate.wiring.service import open_context
from tests.flows.encryption.rotating import CALLER, quiet, settings_for
from tests.races.durable_provider import Steps

WRITES: Final = frozenset(
    {"add", "promote", "disable", "enable", "rewrap", "seal_ended", "rewrite", "commit"}
)
"""What is followed by a step; whatever comes between two of these only looks and waits."""


class Rotation(msgspec.Struct, frozen=True):
    """What a child process is told; `key` is retired, `kek` the one to wrap under."""

    dsn: str
    folder: str
    flow: str
    key: int = 0
    kek: str = "other"


class Stepped:
    """A part of a context, with a step after each thing that it writes."""

    def __init__(self, part: Any, steps: Steps) -> None:
        self.part = part
        self.steps = steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.part, name)
        if name == "session":
            return self._session(found)
        return self._stepped(found) if name in WRITES else found

    def _stepped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def done(*arguments: object, **named: object) -> Any:
            result = await method(*arguments, **named)
            self.steps.step()
            return result

        return done

    def _session(self, method: Callable[[], Any]) -> Callable[[], Any]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Stepped]:
            async with method() as session:
                yield Stepped(session, self.steps)

        return opened


async def run_flow(ctx: Context, rotation: Rotation, steps: Steps) -> None:
    """What the child does, with its steps."""
    parts = {name: getattr(ctx, name) for name in ("door", "keysets", "resealing", "rehashing")}
    ctx = msgspec.structs.replace(ctx, **{n: Stepped(p, steps) for n, p in parts.items()})
    match rotation.flow:
        case "rotate":
            await rotate_records_key(ctx, CALLER, tell=quiet, progress=quiet)
        case "rotate index":
            await rotate_index_key(ctx, CALLER, tell=quiet, progress=quiet)
        case "retire":
            await retire_key(ctx, CALLER, rotation.key, tell=quiet)
        case "rotate kek":
            other = Path(rotation.folder) / rotation.kek
            await rewrap_keysets(ctx, CALLER, open_kms(other.as_uri()))
        case _:
            raise AssertionError(rotation.flow)


def die_rotating(rotation: Rotation, kill_at: int) -> None:
    """The child's whole life."""

    async def live() -> None:
        settings = settings_for(rotation.dsn, Path(rotation.folder))
        async with open_context(settings, name="dying") as ctx:
            await run_flow(ctx, rotation, Steps(kill_at))

    asyncio.run(live())
