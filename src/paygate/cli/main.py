"""Every command, and how errors leave: one clear line on standard error, exit 1."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from paygate import __version__
from paygate.bench import BenchError
from paygate.bench.rows import explained
from paygate.cli import api_keys, jobs, ledger, merchants
from paygate.cli.command import (
    PUBLISHABLE_KEY,
    SECRET_KEY,
    Data,
    Quiet,
    run_async,
    settings_of,
)
from paygate.cli.restored import restored
from paygate.settings import TO_SERVE, TO_UNLOCK, SettingsError

app = typer.Typer(
    help="A self-hosted payment gateway.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(merchants.app, name="merchants")
app.add_typer(api_keys.app, name="api-keys")
app.add_typer(jobs.app, name="jobs")
app.add_typer(ledger.app, name="ledger")

app.command()(restored)

Lifeline = Annotated[bool, typer.Option("--lifeline", hidden=True)]


def run() -> None:
    """The entry point of the `paygate` program."""
    from paygate.crypto.keyring import KeyringError
    from paygate.crypto.kms import KmsError
    from paygate.domain.errors import Refusal
    from paygate.sandbox.store.database import DatabaseInUseError
    from paygate.storage.change import StorageError
    from paygate.storage.embedded import EmbeddedPostgresError
    from paygate.storage.schema import MigrationError

    expected = (
        BenchError,
        SettingsError,
        MigrationError,
        EmbeddedPostgresError,
        KmsError,
        KeyringError,
        DatabaseInUseError,
        Refusal,
        StorageError,
        OSError,
    )
    try:
        app(prog_name="paygate")
    except expected as error:
        sys.stderr.write(f"paygate: {error}\n")
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"paygate {__version__}")
        raise typer.Exit


@app.command()
def up(
    data: Data = None,
    port: Annotated[int, typer.Option(help="The API's port; 0: any free one.")] = 8443,
    sandbox_port: Annotated[int, typer.Option(help="The simulator's port; 0: any.")] = 8444,
    sandbox: Annotated[bool, typer.Option(help="Run the provider simulator.")] = True,
    processes: Annotated[int, typer.Option(min=1, help="API processes.")] = 2,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written, whole, when all is ready (JSON).")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Run everything for development: database, simulator, API, worker. Ctrl-C stops it."""
    from paygate.cli.up import Wishes, run_up

    wishes = Wishes(
        data=data,
        port=port,
        sandbox_port=sandbox_port,
        sandbox=sandbox,
        processes=processes,
        ready_file=ready_file,
        quiet=quiet,
    )
    run_async(run_up(wishes))


@app.command()
def serve(
    data: Data = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0: any free one.")] = 8443,
    processes: Annotated[int, typer.Option(min=1, help="How many processes.")] = 2,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    lifeline: Lifeline = False,
) -> None:
    """Serve the API over TLS (PAYGATE_TLS_CERT and PAYGATE_TLS_KEY)."""
    from paygate.cli.lifeline import hold
    from paygate.cli.serve import serve_here, serve_in_processes

    settings = settings_of(data, TO_SERVE)
    if fd is None:
        run_async(serve_in_processes(settings, host=host, port=port, processes=processes))
    else:
        run_async(serve_here(settings, fd, processes=processes, ready=hold(lifeline)))


@app.command()
def worker(data: Data = None, lifeline: Lifeline = False) -> None:
    """Run the jobs that commits enqueued."""
    from paygate.cli.lifeline import hold
    from paygate.cli.worker import run_worker

    run_async(run_worker(settings_of(data), hold(lifeline)))


@app.command()
def sandbox(
    data: Annotated[Path, typer.Option(help="Where the simulator keeps its books.")] = Path(
        "sandbox"
    ),
    port: Annotated[int, typer.Option(help="The port; 0: any free one.")] = 8444,
    secret_key: Annotated[
        str, typer.Option(help="The API key it takes.", envvar=SECRET_KEY)
    ] = "sk_test_sandbox",  # noqa: S107 -- of a simulator
    publishable_key: Annotated[str, typer.Option(envvar=PUBLISHABLE_KEY)] = "pk_test_sandbox",
    ca_file: Annotated[
        Path | None, typer.Option(help="Trusted when webhooks are delivered.")
    ] = None,
    lifeline: Lifeline = False,
) -> None:
    """Run the provider simulator: Stripe's protocol, with books of its own."""
    from paygate.cli.lifeline import hold
    from paygate.sandbox.server import SandboxOptions, serve

    ready = hold(lifeline)
    options = SandboxOptions(
        host="127.0.0.1",
        port=port,
        data_dir=data,
        secret_key=secret_key,
        publishable_key=publishable_key,
        ca_file=ca_file,
    )

    def listening(url: str) -> None:
        ready()
        if not lifeline:  # else the parent says it
            typer.echo(f"simulator: {url}")

    run_async(serve(options, listening))


@app.command(epilog=explained())
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print figures as JSON.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The million-row rows too.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One small round, to try it.")] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="How often each row is measured.", show_default="3")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Compare with another git revision, in turns."),
    ] = None,
) -> None:
    """Measure this machine: rates and latencies beside what its PostgreSQL can do.

    Each row is the least, the median and the most of its rounds, beside its
    goal. CPU is that of one create, payment or event: of all API and worker
    processes, and of all PostgreSQL's processes but the benchmark's own.

    With --against: the rows of another revision (a) and of this code (b), and
    b / a round by round, without the commit door and the many stored payments.
    The machine should do nothing else meanwhile.
    """
    from paygate.bench.main import Options
    from paygate.bench.main import run as measure

    if full and (quick or against is not None):
        raise typer.BadParameter("not with --quick or --against", param_hint="--full")
    options = Options(as_json=as_json, full=full, quick=quick, rounds=rounds, against=against)
    run_async(measure(options))


@app.command()
def migrate(data: Data = None, quiet: Quiet = False) -> None:
    """Bring the database up to this version, and make the installation if there is none."""
    from paygate.wiring import prepare_database

    def tell(line: str) -> None:
        if not quiet:
            typer.echo(line)

    async def go() -> None:
        applied = await prepare_database(settings_of(data, TO_UNLOCK), tell)
        tell("\n".join(f"applied {name}" for name in applied) or "nothing to do")

    run_async(go())
