"""What tests of rotations share."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import Alert
from paygate.flows.context import Context
from paygate.settings import Settings, load
from paygate.storage.connections.session import Connection

Connect = Callable[[], Awaitable[Connection]]
CALLER: Final = Caller(Actor("command", name="test"), "default", "req_1")
HOLD: Final = "SELECT pg_advisory_lock_shared($1, $2)"


def quiet(*_: object) -> None:
    """Nobody looks."""


def settings_for(database: str, folder: Path, kek: str = "kek") -> Settings:
    """Settings of a process that works in a database, with its key-encryption key in a folder."""
    return load(
        {
            "PAYGATE_DATABASE_URL": database,
            "PAYGATE_KEK": (folder / kek).as_uri(),
            "PAYGATE_STRIPE_API_KEY": "sk_test_1",
            "PAYGATE_STRIPE_API_BASE": "http://127.0.0.1:1",
            "PAYGATE_STRIPE_WEBHOOK_SECRETS": "whsec_1",
        },
        data=folder,
    )


async def standing(ctx: Context) -> list[Alert]:
    """The alerts that stand."""
    return list((await ctx.read.alerts_standing(None, 10)).records)
