"""`paygate jobs`: the scheduled jobs, run by hand."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from paygate.cli.command import (
    AsJson,
    Data,
    Quiet,
    moment_of,
    print_json,
    print_list,
    print_table,
    run_async,
    settings_of,
)

if TYPE_CHECKING:
    from paygate.settings import Settings

app = typer.Typer(help="Scheduled jobs: what runs by the clock.", no_args_is_help=True)


@app.command("list")
def list_(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the scheduled jobs."""
    from paygate.jobs.schedule import SCHEDULE

    if as_json:
        print_list([{"object": "job", **job._asdict()} for job in SCHEDULE], "/jobs")
    else:
        rows = [(job.name, job.cron, job.summary) for job in SCHEDULE]
        print_table(("job", "cron (UTC)", "does"), rows, quiet=quiet)


def _names() -> list[str]:
    from paygate.jobs.schedule import SCHEDULE

    return [job.name for job in SCHEDULE]


@app.command()
def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="As `paygate jobs list` names it.", autocompletion=_names
        ),
    ],
    now: Annotated[
        str | None,
        typer.Option(metavar="ISO8601", help="As if it were then; development only."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run one scheduled job once."""
    from paygate.wiring.machine import now as real_time
    from paygate.wiring.service import open_context
    from paygate.worker.scheduled import RUNS, run_scheduled

    if name not in RUNS:
        raise typer.BadParameter(f"one of {', '.join(RUNS)}", param_hint="NAME")
    settings = settings_of(data)
    clock = real_time if now is None else partial(_moment, settings, now)
    clock()  # what is wrong with it is said before anything is opened

    async def go() -> None:
        async with open_context(settings, name="job", clock=clock) as ctx:
            report = await run_scheduled(ctx, name)
        if as_json:
            print_json({"job": name, "report": report})
        elif not quiet:
            typer.echo(f"{name}: " + ", ".join(f"{what} {count}" for what, count in report.items()))

    run_async(go())


def _moment(settings: "Settings", text: str) -> datetime:
    if settings.environment != "development":
        raise typer.BadParameter("another time is for development only", param_hint="--now")
    return moment_of(text, "--now")
