"""Every command, and how errors leave: one clear line on standard error, exit 1 (2 for usage)."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from paygate import __version__
from paygate.cli import (
    api_keys,
    audit,
    disputes,
    encryption,
    jobs,
    keys,
    ledger,
    merchants,
    payments,
    provider_events,
    refunds,
    webhooks,
)
from paygate.cli.command import Data, Quiet, run_async, settings_of
from paygate.cli.doctor import doctor
from paygate.cli.export import export
from paygate.cli.init import init
from paygate.cli.listen import listen
from paygate.cli.reconcile import reconcile
from paygate.cli.restored import restored
from paygate.cli.settle import settle
from paygate.cli.trigger import trigger
from paygate.settings import TO_SERVE, TO_UNLOCK, SettingsError
from paygate_sandbox.command import app as sandbox

app = typer.Typer(
    help="A self-hosted payment gateway.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(merchants.app, name="merchants")
app.add_typer(api_keys.app, name="api-keys")
app.add_typer(audit.app, name="audit")
app.add_typer(disputes.app, name="disputes")
app.add_typer(encryption.app, name="encryption")
app.add_typer(jobs.app, name="jobs")
app.add_typer(ledger.app, name="ledger")
app.add_typer(keys.app, name="keys")
app.add_typer(payments.app, name="payments")
app.add_typer(provider_events.app, name="provider-events")
app.add_typer(refunds.app, name="refunds")
app.add_typer(webhooks.app, name="webhooks")


def run() -> None:
    """The entry point of the `paygate` program."""
    from paygate.crypto.keyring import KeyringError
    from paygate.crypto.kms import KmsError
    from paygate.domain.card_data.search import find
    from paygate.domain.errors import Refusal
    from paygate.embedded.server import EmbeddedPostgresError
    from paygate.providers.event_endpoints import EventEndpointsError
    from paygate.storage.change import StorageError
    from paygate.storage.schema.versions import MigrationError
    from paygate.storage.unreadable import Unreadable
    from paygate.telemetry.guarded import guard_standard_error

    guard_standard_error()
    if any(map(find, sys.argv[1:])):
        # Commands write to the database as the API does, and what they are given is no secret.
        sys.stderr.write(
            "paygate: an argument holds what looks like a card number or an IBAN; nothing was done."
            " Clear it from this shell's history\n"
        )
        sys.exit(1)
    expected = (
        SettingsError,
        MigrationError,
        EmbeddedPostgresError,
        KmsError,
        KeyringError,
        EventEndpointsError,
        Refusal,
        StorageError,
        Unreadable,
        OSError,
    )
    try:
        sys.exit(app(prog_name="paygate", standalone_mode=False))
    except TyperException as wrong:
        sys.stderr.write(_told(wrong))
        sys.exit(wrong.exit_code)
    except typer.Abort:
        sys.stderr.write("paygate: nothing was done\n")
        sys.exit(1)
    except expected as error:
        sys.stderr.write(f"paygate: {error}\n")
        sys.exit(1)


def _told(wrong: TyperException) -> str:
    """What is wrong with how a command was called; nothing where its help was printed instead."""
    text = " ".join(wrong.format_message().replace("Value error, ", "").split())
    context: typer.Context | None = getattr(wrong, "ctx", None)
    path = "paygate" if context is None else context.command_path
    return text and f"{path}: {text.rstrip('.')} (`{path} --help` shows what it takes)\n"


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    lifeline: Annotated[bool, typer.Option("--lifeline", hidden=True)] = False,
) -> None:
    if version:
        typer.echo(f"paygate {__version__}")
        raise typer.Exit
    if lifeline:
        from paygate.cli.lifeline import hold, tell_ready

        hold()
        context.obj = tell_ready  # for the sandbox, which knows nothing of us


@app.command()
def up(
    data: Data = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The API's port; 0: any.")] = 8443,
    sandbox_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The sandbox's port; 0: any.")
    ] = 8444,
    sandbox: Annotated[bool, typer.Option(help="Run the sandbox.")] = True,
    processes: Annotated[int, typer.Option(min=1, help="API processes.")] = 2,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written, whole, when all is ready (JSON).")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Run everything for development: database, sandbox, API, worker. Ctrl-C stops it."""
    from paygate.cli.up import UpOptions, run_up

    options = UpOptions(
        data=data,
        port=port,
        sandbox_port=sandbox_port,
        sandbox=sandbox,
        processes=processes,
        ready_file=ready_file,
        quiet=quiet,
    )
    run_async(run_up(options))


@app.command()
def serve(
    data: Data = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any free one.")] = 8443,
    processes: Annotated[int, typer.Option(min=1, help="How many processes.")] = 2,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the API over TLS (PAYGATE_TLS_CERT and PAYGATE_TLS_KEY)."""
    from paygate.cli.serve import serve_here, serve_in_processes

    settings = settings_of(data, TO_SERVE)
    if fd is None:
        run_async(serve_in_processes(settings, host=host, port=port, processes=processes))
    else:
        run_async(serve_here(settings, fd, processes=processes))


@app.command()
def worker(data: Data = None) -> None:
    """Run the jobs that commits enqueued."""
    from paygate.cli.worker import run_worker

    run_async(run_worker(settings_of(data)))


app.add_typer(sandbox, name="sandbox")


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def bench(context: typer.Context) -> None:
    """Measure this machine, from a checkout: rates and latencies beside its PostgreSQL's own."""
    from paygate.cli.bench import run_bench

    run_bench(context.args)


@app.command()
def migrate(
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Then take away months of the audit log that are past PAYGATE_RETENTION_AUDIT.",
        ),
    ] = False,
    disown: Annotated[
        bool,
        typer.Option(
            "--disown-seals",
            help="Then take seals out of the audit log that are none of ours.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option(help="With --detach: say which months, and leave them.")
    ] = False,
    data: Data = None,
    quiet: Quiet = False,
) -> None:
    """Bring the database up to this version, and make the installation if there is none.

    It works as the role of PAYGATE_OWNER_DATABASE_URL, where that is set, and gives the role of
    PAYGATE_DATABASE_URL its rights.
    """
    from paygate.cli.detach import detach_months, disown_seals
    from paygate.wiring.preparation import prepare_database

    messages: list[str] = []

    def tell(line: str) -> None:
        messages.append(line)
        if not quiet:
            typer.echo(line)

    async def go() -> None:
        for name in await prepare_database(settings_of(data, TO_UNLOCK), tell):
            tell(f"applied {name}")
        if disown:
            await disown_seals(data, tell)
        if detach:
            await detach_months(data, tell, dry_run=dry_run)
        if not messages:
            tell("nothing to do")

    run_async(go())


app.command()(payments.explain)
app.command()(export)
app.command()(reconcile)
app.command()(settle)
app.command()(listen)
app.command()(trigger)
app.command()(init)
app.command()(doctor)
app.command()(restored)
