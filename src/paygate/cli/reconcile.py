"""`paygate reconcile`: a round by hand, or what it would find."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paygate.cli.command import (
    AsJson,
    Data,
    Quiet,
    moment_of,
    perform,
    print_json,
    print_table,
    run_async,
    shown_progress,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from paygate.domain.access.roles import Caller
    from paygate.domain.reconciliation.finding import Finding
    from paygate.domain.reconciliation.run import Reconciliation
    from paygate.flows.context import Context

    Done = tuple[Reconciliation, Sequence[Finding]]


def reconcile(
    since: Annotated[
        str | None,
        typer.Option(metavar="ISO8601", help="Compare what was made since then."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what would be found.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Hold all payments against the provider's; exit 1 if something is held for a person."""
    from paygate.domain.access.roles import Action
    from paygate.domain.reconciliation.run import RunStatus

    moment = None if since is None else moment_of(since, "--since")

    async def work(ctx: "Context", caller: "Caller") -> "Done":
        with shown_progress() as progress:
            return await _reconciled(ctx, caller, moment, dry_run=dry_run, progress=progress)

    async def go() -> None:
        run, findings = await perform(data, Action.RECONCILIATION_BEGIN, work)
        if as_json:
            print_json(_json(run, findings))
        elif not quiet:
            _print(run, findings, dry_run=dry_run)
        if run.status is not RunStatus.COMPLETED or run.tally.held or run.tally.orphans:
            raise typer.Exit(1)

    run_async(go())


async def _reconciled(
    ctx: "Context",
    caller: "Caller",
    since: "datetime | None",
    *,
    dry_run: bool,
    progress: "Callable[[str, float, float | None], None]",
) -> "Done":
    """The round at its end, and the newest of what it found."""
    from paygate.domain.access.roles import Action
    from paygate.domain.reconciliation.run import Cause
    from paygate.flows.reconciliation.begin import new_run, subject_of
    from paygate.flows.reconciliation.by_hand import reconcile_by_hand
    from paygate.flows.reconciliation.run import rehearse
    from paygate.storage.change import Change
    from paygate.storage.pages import newest

    if dry_run:
        run = await new_run(ctx, Cause.PERSON, since)
        details = {"dry_run": "true"}
        audit = ctx.audit(caller, Action.RECONCILIATION_BEGIN, subject_of(run), details=details)
        await ctx.door.commit(Change(audit))
        report = await rehearse(ctx, run, caller.request_id, progress=progress)
        return report.run, report.kept
    run = await reconcile_by_hand(ctx, caller, since=since, progress=progress)
    cut = newest("reconciliation_finding", SHOWN)
    page = await ctx.reconciliations.findings(run.merchant, run.id, cut)
    return run, page.items


SHOWN = 1000
"""Findings that are printed; all of them are in the API's list."""


def _json(run: "Reconciliation", findings: "Sequence[Finding]") -> Any:
    from paygate.api.reconciliations import finding_object, reconciliation_object

    return {
        "reconciliation": reconciliation_object(run),
        "findings": [finding_object(finding) for finding in findings],
    }


def _print(run: "Reconciliation", findings: "Sequence[Finding]", *, dry_run: bool) -> None:
    if findings:
        rows = [
            (
                f.payment_intent,
                f.provider_reference,
                f.kind,
                ("would be " if dry_run else "") + f.action,
                _said(f.ours),
                _said(f.theirs),
                f.reason,
            )
            for f in findings
        ]
        head = ("intent", "at the provider", "differs in", "action", "ours", "theirs", "reason")
        print_table(head, rows)
    tally = run.tally
    if tally.events_received:
        typer.echo(
            f"{tally.events_received} events received that no webhook had brought; what they tell"
            " is healed by the worker"
        )
    window = f"{_time(run.since)} to {_time(run.until)}"
    typer.echo(
        f"{'rehearsed' if dry_run else run.status}: payments of {window}\n"
        f"{tally.ours} of ours and {tally.theirs} of the provider's examined, with"
        f" {tally.provider_calls} calls: {tally.in_step} in step, {tally.healed}"
        f" {'to be healed' if dry_run else 'healed'}, {tally.held} held for a person,"
        f" {tally.orphans} orphans, {tally.foreign} foreign"
    )
    for fault in run.faults:
        typer.echo(f"not done: {fault}")


def _said(side: "Any") -> str:
    return ", ".join(f"{name} {value}" for name, value in side.items())


def _time(at: "datetime | None") -> str:
    return "an unknown time" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
