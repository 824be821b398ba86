"""What commands share: their options, how one works on a gateway, how it shows what it found."""

import os
import pwd
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer
import uvloop

from paygate.settings import TO_WORK, Needs, Settings, load

if TYPE_CHECKING:  # imported late, where they are used: they are most of a command's start
    from paygate.domain.access.roles import Action, Caller
    from paygate.flows.context import Context

T = TypeVar("T")

Data = Annotated[
    Path | None,
    typer.Option("--data", help="The data directory (PAYGATE_DATA).", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the object as JSON.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Print what another program needs, such as an id, and no words."
    ),
]

FAR: Final = timedelta(days=3660)
"""Nobody's backup and nobody's payment is ten years away: such a time is a slip."""
_MOVES: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
"""What moves a terminal's cursor, or turns letters round."""
KEYS_REFUSED: Final = "keys_refused"
"""What the audit log calls a refused edit of the keysets."""
WIDTH: Final = 200
"""Of a table that goes to a file or a pipe, where no terminal says how wide it is."""


def settings_of(data: Path | None, needs: Needs = TO_WORK) -> Settings:
    """The settings of this command."""
    return load(os.environ, data=data, needs=needs)


def run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine on the loop that every process of ours uses."""
    uvloop.run(work)


async def perform(
    data: Path | None, action: "Action", work: "Callable[[Context, Caller], Awaitable[T]]"
) -> T:
    """Do `work` on the gateway of a data directory, as the user who runs this command.

    A refusal leaves its audit entry, as it does at the API's edge, and is raised again.
    """
    from paygate.crypto.keyring import KeyringError
    from paygate.domain.access.roles import Actor, Caller
    from paygate.domain.audit import Result
    from paygate.domain.errors import Refusal
    from paygate.storage.change import Change
    from paygate.storage.installation import DEFAULT_MERCHANT
    from paygate.telemetry import log
    from paygate.wiring.service import open_context

    log.configure()  # to standard error: what a command prints is for who called it
    async with open_context(settings_of(data), name="command") as ctx:
        request_id = ctx.new_id("request")
        caller = Caller(Actor("command", name=_user()), DEFAULT_MERCHANT, request_id)
        try:
            return await work(ctx, caller)
        except (Refusal, KeyringError) as refusal:
            code = str(refusal.code) if isinstance(refusal, Refusal) else KEYS_REFUSED
            details = {"code": code}
            entry = ctx.audit(caller, action, result=Result.REFUSED, details=details)
            await ctx.door.commit(Change(entry))
            raise


def moment_of(text: str, option: str) -> datetime:
    """The time that an option gives, in UTC.

    Raises:
        BadParameter: no time, one without a zone, or one further away than `FAR`.
    """
    wanted = "a time with its zone, such as 2026-11-24T12:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(wanted, param_hint=option) from None
    if moment.tzinfo is None:
        raise typer.BadParameter(wanted, param_hint=option)
    if abs(moment - datetime.now(UTC)) > FAR:
        raise typer.BadParameter(f"within {FAR.days} days of now", param_hint=option)
    return moment.astimezone(UTC)


def print_json(value: Any) -> None:
    """An object as the API would send it, on one line."""
    from paygate.api.objects import encode

    typer.echo(encode(value).decode())


def print_list(data: Sequence[Any], url: str) -> None:
    """A whole list, in the shape of the API's."""
    print_json({"object": "list", "data": data, "has_more": False, "url": url})


def plain(text: str, indent: int = 0) -> str:
    """A text that others wrote, for a terminal: what would write over other lines is shown as an
    escape, and its later lines stand so many columns in, lest one is taken for a line of ours.
    """
    shown = _MOVES.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return shown.replace("\n", "\n" + " " * indent)


def print_table(
    head: Sequence[str], rows: Iterable[Sequence[str | None]], *, quiet: bool = False
) -> None:
    """Rows for a person; what is unknown is a dash. With `quiet`, the first column alone."""
    if quiet:
        for first, *_ in rows:
            typer.echo(first)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        # As text: a name with brackets in it is no markup.
        table.add_row(*(Text(plain(cell or "-")) for cell in row))
    console.print(table)


@contextmanager
def shown_progress() -> Iterator[Callable[[str, float, float | None], None]]:
    """A bar for each stage of long work, on standard error, when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _stage, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: float, total: float | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, shown="")
            shown = f"{done:,.0f}" if total is None else f"{done / total:.0%}"
            bars.update(tasks[stage], completed=done, total=total, shown=shown)

        yield show


def _user() -> str:
    """Who runs this, by the system's word and not by the environment's."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
