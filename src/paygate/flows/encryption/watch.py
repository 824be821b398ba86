"""Tell somebody that the key of the records is old, or that a rotation was left unfinished."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from paygate.crypto.keyring import Purpose
from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.flows.alerts.close import close_alert
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.storage.installation import DEFAULT_MERCHANT

CRYPTOPERIOD: Final = timedelta(days=90)
"""A quarter: NIST SP 800-57 part 1 allows a data key two years, and what one key has sealed is what
its loss costs. How much it seals is no bound here: 2^80 records (`crypto/tink_keysets.py`)."""
UNFINISHED_AFTER: Final = timedelta(days=7)
"""Some ten million records at the slowest: a rotation that takes longer stands still."""
JOB: Final = "housekeeping"
OLD: Final = "old"
UNFINISHED: Final = "unfinished"


class InUse(NamedTuple):
    """Since when a keyset's primary key is used, and whether rows are left under older ones."""

    used_since: datetime
    unfinished: bool


async def key_in_use(ctx: Context, purpose: Purpose = Purpose.RECORDS) -> InUse:
    """How it stands with the key that a keyset uses."""
    loaded = await ctx.keysets.load()
    facts = (await ctx.keysets.facts()).get((purpose, loaded.primary(purpose)))
    if facts is None:
        return InUse(loaded.made_at[purpose], unfinished=False)
    return InUse(facts.promoted_at or facts.added_at, unfinished=facts.sealed_at is None)


async def watch_keys(ctx: Context, run_id: str) -> None:
    """Raise the alert while the cause is there, and close it when it is gone."""
    key = await key_in_use(ctx)
    caller = Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, run_id)
    late = [
        each.used_since
        for each in (key, await key_in_use(ctx, Purpose.INDEX))
        if each.unfinished and ctx.now() - each.used_since > UNFINISHED_AFTER
    ]
    old = key.used_since if ctx.now() - key.used_since > CRYPTOPERIOD else None
    for stage, since in ((OLD, old), (UNFINISHED, min(late, default=None))):
        problem = _problem(ctx, stage, since or key.used_since)
        if since is not None:
            await raise_alert(ctx, caller, problem)
        else:
            await close_alert(ctx, caller, problem.type, problem.subject, stage)


def _problem(ctx: Context, stage: str, since: datetime) -> Problem:
    if stage == OLD:
        message = (
            f"the key that records are sealed under is used since {since:%Y-%m-%d}, for more than"
            f" {CRYPTOPERIOD.days} days"
        )
        what_to_do = (
            "Run `paygate encryption rotate`, and retire the old key when nothing is left under it."
        )
    else:
        message = f"the rotation of {since:%Y-%m-%d} is not finished: rows are under older keys"
        what_to_do = (
            "See that a worker runs, and what `paygate encryption status` shows; records that do"
            " not open have an alert each."
        )
    return Problem(
        type=AlertType.KEY_ROTATION_DUE,
        subject=Subject("keyset", ctx.installation),
        severity="warning",
        message=message,
        what_to_do=what_to_do,
        stage=stage,
    )
