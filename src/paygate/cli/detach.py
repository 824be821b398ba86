"""`paygate migrate --detach` and `--disown-seals`: what the tables' owner takes out of the audit
log, months that are past their time and seals that are none of ours.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from paygate.cli.command import perform, settings_of, shown_progress

if TYPE_CHECKING:
    from paygate.domain.access.roles import Caller
    from paygate.flows.audit_log.disown import Disowned
    from paygate.flows.context import Context


async def detach_months(data: Path | None, tell: Callable[[str], None], *, dry_run: bool) -> None:
    """Take away what is past `PAYGATE_RETENTION_AUDIT`, or tell what would be.

    Raises:
        Refusal: the log is not whole, or nobody outside knows so much of it.
        MigrationError: the owner's role could not do it.
    """
    from paygate.domain.access.roles import Action
    from paygate.flows.audit_log.detach import detach_past_months
    from paygate.wiring.preparation import detach_audit_months

    settings = settings_of(data)
    take = partial(detach_audit_months, settings, tell=tell)

    async def work(ctx: "Context", caller: "Caller") -> Sequence[str]:
        with shown_progress() as progress:
            return await detach_past_months(
                ctx, caller, None if dry_run else take, progress=progress
            )

    months = await perform(data, Action.AUDIT_DETACH, work)
    if dry_run:
        tell(f"would take away: {', '.join(months) or 'no month'}")
    elif not months:
        tell("no month of the audit log is past its time")


async def disown_seals(data: Path | None, tell: Callable[[str], None]) -> None:
    """Take seals out of the log that are none of ours, at its end.

    Raises:
        Refusal: what is wrong with the log is something else.
        MigrationError: the owner's role could not do it.
    """
    from paygate.domain.access.roles import Action
    from paygate.flows.audit_log.disown import disown_seals
    from paygate.wiring.preparation import disown_audit_seals

    take = partial(disown_audit_seals, settings_of(data), tell=tell)

    async def work(ctx: "Context", caller: "Caller") -> "Disowned | None":
        with shown_progress() as progress:
            return await disown_seals(ctx, caller, take, progress=progress)

    done = await perform(data, Action.AUDIT_DISOWN, work)
    if done is None:
        tell("every seal of the audit log is ours")
    else:
        tell(
            f"{done.seals} seals behind number {done.behind} were none of ours: they are in table"
            f" audit_seal_disowned now, and the log goes on behind {done.behind}"
        )
