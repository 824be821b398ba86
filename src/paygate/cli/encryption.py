"""`paygate encryption`: the keys that records are sealed under and look-ups hashed with."""

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from paygate.cli.command import (
    AsJson,
    Data,
    Quiet,
    perform,
    print_json,
    print_table,
    run_async,
    settings_of,
    shown_progress,
)
from paygate.settings import SettingsError

if TYPE_CHECKING:
    from paygate.crypto.kms import Kms
    from paygate.domain.access.roles import Caller
    from paygate.flows.context import Context
    from paygate.flows.encryption.rotate import Rotated
    from paygate.flows.encryption.status import Encryption, Key

app = typer.Typer(
    help="The keys that records are sealed under, and look-ups hashed with.", no_args_is_help=True
)

OLDER_BACKUPS = """\
Key {key} opens nothing any more: older backups no longer open with today's keys. One that is
restored whole brings its own, and needs the key-encryption key of its time; rows out of one do not
open here until the key is taken back (`paygate encryption retire {key} --undo`)."""
REWRAPPED = """\
All keysets are wrapped under the new key-encryption key. Set PAYGATE_KEK to it for every process,
and restart them one by one: those that run go on, and one started with the old key is refused.
Keep the old key for as long as there are backups of before."""
LONGEST_ID: Final = 20
Wait = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for processes that lack the newest keys.")
]


@app.command()
def status(data: Data = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show every key, its age, and how many rows are under it."""
    from paygate.domain.access.roles import Action
    from paygate.flows.encryption.status import encryption_status

    async def work(ctx: "Context", _: "Caller") -> "Encryption":
        with shown_progress() as progress:
            return await encryption_status(ctx, progress)

    async def go() -> None:
        found = await perform(data, Action.ENCRYPTION_STATUS, work)
        if as_json:
            print_json(found)
            return
        head = ("key", "purpose", "status", "added", "used since", "rows")
        print_table(head, map(_row, found.keys), quiet=quiet)
        for counted in (found.rows_by_table, found.hashes_by_table):
            for table, rows in counted.items():
                if "unknown" in rows and not quiet:
                    typer.echo(f"{table}: {rows['unknown']} rows name no key that there is")

    run_async(go())


@app.command()
def rotate(
    kek: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Wrap the keys under this key-encryption key; records stay as they are.",
        ),
    ] = None,
    index: Annotated[
        bool, typer.Option("--index", help="The key that look-ups are hashed with, instead.")
    ] = False,
    wait: Wait = 60.0,
    data: Data = None,
    quiet: Quiet = False,
) -> None:
    """Use a new key for all that is new, then write anew what there is. Run again, it goes on."""
    from paygate.crypto.keyring import KeyringError
    from paygate.domain.access.roles import Action
    from paygate.flows.encryption.rewrap import rewrap_keysets
    from paygate.flows.encryption.rotate import rotate_index_key, rotate_records_key

    def tell(line: str) -> None:
        if not quiet:
            typer.echo(line)

    async def work(ctx: "Context", caller: "Caller") -> "Rotated":
        with shown_progress() as progress:
            rotate_key = rotate_index_key if index else rotate_records_key
            return await rotate_key(ctx, caller, tell=tell, progress=progress, within_seconds=wait)

    async def go() -> None:
        if kek is not None and index:
            raise SettingsError("--kek and --index are two rotations: one after the other")
        if kek is not None:
            new = _other_kms(data, kek)
            await perform(
                data, Action.ENCRYPTION_REWRAP, lambda ctx, caller: rewrap_keysets(ctx, caller, new)
            )
            tell(REWRAPPED)
            return
        key, done = await perform(data, Action.ENCRYPTION_ROTATE, work)
        what = "look-ups are hashed anew with" if index else "records are sealed anew under"
        tell(f"{done.rows} {what} key {key}")
        if done.left:
            raise KeyringError(
                f"{done.left} rows are under another key still, and {done.unread} of them do not"
                " open: run this again; those have an alert each, and keep the old key from being"
                " retired"
            )
        if quiet:
            typer.echo(key)

    run_async(go())


@app.command()
def retire(
    key: Annotated[int, typer.Argument(metavar="KEY", help="The key's id.")],
    confirm: Annotated[
        int | None, typer.Option(metavar="KEY", help="The id typed again, where nobody is asked.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back a key that was retired.")] = False,
    wait: Wait = 60.0,
    data: Data = None,
    quiet: Quiet = False,
) -> None:
    """Give up a key that no row is under any more. The id is typed again."""
    from paygate.domain.access.roles import Action
    from paygate.flows.encryption.retire import retire_key, unretire_key

    def tell(line: str) -> None:
        if not quiet:
            typer.echo(line)

    async def work(ctx: "Context", caller: "Caller") -> None:
        if undo:
            await unretire_key(ctx, caller, key)
        else:
            await retire_key(ctx, caller, key, tell=tell, within_seconds=wait)

    if not undo and (_typed_again(key) if confirm is None else confirm) != key:
        raise SettingsError(f"that is not {key}: nothing was done")
    run_async(perform(data, Action.ENCRYPTION_RETIRE, work))
    tell(f"key {key} opens again" if undo else f"key {key} is retired")
    if not undo:
        typer.echo(OLDER_BACKUPS.format(key=key), err=True)


def _typed_again(key: int) -> int | None:
    typer.echo(
        f"After this, rows out of older backups no longer open. Type the id of the key to retire"
        f" {key}: ",
        nl=False,
        err=True,
    )
    typed = sys.stdin.readline(LONGEST_ID + 1).strip()
    return int(typed) if typed.isdecimal() else None


def _other_kms(data: "Data", uri: str) -> "Kms":
    """The KMS to wrap under; refused where its processes would refuse it."""
    from paygate.crypto.kms import open_kms

    settings = settings_of(data)
    kms = open_kms(uri)
    if settings.environment == "production" and kms.is_development:
        raise SettingsError("production refuses the key-encryption key that `paygate up` made")
    return kms


def _row(key: "Key") -> tuple[str | None, ...]:
    return (
        key.id,
        key.purpose.value,
        key.status,
        f"{key.added_at:%Y-%m-%d %H:%M}",
        None if key.promoted_at is None else f"{key.promoted_at:%Y-%m-%d %H:%M}",
        None if key.rows is None else f"{key.rows:,}",
    )
