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
    """Since when the key is used that records are sealed under, and whether records are left under
    older ones.
    """

    used_since: datetime
    unfinished: bool


async def key_in_use(ctx: Context) -> InUse:
    """How it stands with the key of the records."""
    loaded = await ctx.keysets.load()
    facts = (await ctx.keysets.facts()).get((Purpose.RECORDS, loaded.primary(Purpose.RECORDS)))
    if facts is None:
        return InUse(loaded.made_at[Purpose.RECORDS], unfinished=False)
    return InUse(facts.promoted_at or facts.added_at, unfinished=facts.sealed_at is None)


async def watch_keys(ctx: Context, run_id: str) -> None:
    """Raise the alert while the cause is there, and close it when it is gone."""
    key = await key_in_use(ctx)
    age = ctx.now() - key.used_since
    caller = Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, run_id)
    found = {OLD: age > CRYPTOPERIOD, UNFINISHED: key.unfinished and age > UNFINISHED_AFTER}
    for stage, stands in found.items():
        problem = _problem(ctx, stage, key.used_since)
        if stands:
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
        message = f"the rotation of {since:%Y-%m-%d} is not finished: records are under older keys"
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
