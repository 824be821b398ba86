"""The command: `paygate sandbox`, and `python -m paygate_sandbox`, which is the same.

It must never print or write a secret but into the ready file, which is for its owner only.
"""

import json
import logging
import os
import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

app = typer.Typer(invoke_without_command=True, add_completion=False, pretty_exceptions_enable=False)

SECRET_KEY: Final = "SANDBOX_SECRET_KEY"  # noqa: S105 -- a name
PUBLISHABLE_KEY: Final = "SANDBOX_PUBLISHABLE_KEY"
"""Variables with the sandbox's keys: arguments are shown to every user by `ps`."""


@app.callback()
def sandbox(
    context: typer.Context,
    data: Annotated[
        Path, typer.Option(help="Folder of its books; made when there is none.")
    ] = Path("sandbox"),
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any.")] = 8444,
    secret_key: Annotated[
        str, typer.Option(help="The API key it takes: sk_test_...", envvar=SECRET_KEY)
    ] = "sk_test_sandbox",  # noqa: S107 -- the sandbox's
    publishable_key: Annotated[
        str, typer.Option(help="The key of its card fields: pk_test_...", envvar=PUBLISHABLE_KEY)
    ] = "pk_test_sandbox",
    ca_file: Annotated[
        Path | None,
        typer.Option(help="Certificates (PEM) to trust at https webhook addresses, beside yours."),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Written, whole, when it is ready: JSON with url and secret_key."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help="The same seed on fresh books gives the same ids.")
    ] = None,
) -> None:
    """Run a sandbox: a payment provider that speaks Stripe's wire protocol.

    For tests, of paygate or of any other program that uses Stripe: no account,
    no network, no money. It answers as API version 2026-08-26.dahlia, whichever
    Stripe-Version of the last two years is asked for, and keeps what it answered
    through a kill. Needs no gateway: give a Stripe SDK its address and its key.

    \b
    Pay, as any Stripe account is asked to:
      paygate sandbox
      curl http://127.0.0.1:8444/v1/payment_intents -u sk_test_sandbox: \\
        -d amount=1999 -d currency=eur -d "payment_method_types[]=card" \\
        -d payment_method=pm_card_visa -d confirm=true

    \b
    What a payment method does, by its token (docs/sandbox.md has them all):
      pm_card_visa                        is paid
      pm_card_chargeDeclined              is declined, 402 card_declined
      pm_card_authenticationRequired      asks for 3D Secure, on a page of its own
      pm_usBankAccount_success            is paid after 180 seconds of its clock

    \b
    Hear of events; the answer's secret signs each one, as Stripe signs:
      curl http://127.0.0.1:8444/v1/webhook_endpoints -u sk_test_sandbox: \\
        -d url=http://127.0.0.1:3000/hook -d "enabled_events[]=*"

    \b
    Control it, in JSON and without a key, under /_sandbox/:
      GET ledger          every charge it ever made, whatever it answered
      POST disputes       {"charge": "ch_...", "due_in_seconds": 3600}
      POST payouts        {"tamper": null}: all that is available now
      GET|POST clock      {"advance_seconds": 86400}: time passes
      GET|POST|DELETE faults
                          {"on": "confirm", "kind": "drop_reply", "count": 1}
      GET deliveries      how many webhooks are pending, delivered, lost, given up

    \b
    Examples:
      paygate sandbox --data /tmp/books --port 0 --ready-file /tmp/ready.json
      SANDBOX_SECRET_KEY=sk_test_mine paygate sandbox
    """  # noqa: D301 -- a backspace keeps the lines below as they are
    if context.invoked_subcommand is not None:
        return
    import uvloop

    from paygate_sandbox.server import SandboxOptions, serve
    from paygate_sandbox.store.database import StoreError

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        options = SandboxOptions(
            host=host,
            port=port,
            data_dir=data,
            secret_key=secret_key,
            publishable_key=publishable_key,
            ca_file=ca_file,
            seed=seed,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    def ready(url: str) -> None:
        if ready_file is not None:
            write_ready_file(ready_file, url, secret_key)
        if context.obj is None:
            typer.echo(f"the sandbox answers on {url}")
        else:
            context.obj()  # whoever runs it as a child is told, and says the rest

    try:
        uvloop.run(serve(options, ready))
    except (StoreError, OSError) as error:
        typer.echo(f"the sandbox did not start: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def books(
    out: Annotated[Path, typer.Option(help="Folder to write into; made when there is none.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    payments: Annotated[int, typer.Option(min=1, help="How many payments.")] = 10_000,
    months: Annotated[int, typer.Option(min=1, help="Over so many months of 30 days.")] = 3,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=COUNT",
            help="So many discrepancies of a kind; all=COUNT: of every kind. Again for another.",
        ),
    ] = None,
    attempt_key: Annotated[
        str, typer.Option(help="The key of a charge's metadata that names its attempt.")
    ] = "attempt",
    mark: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What else the metadata of every charge has."),
    ] = None,
) -> None:
    """Write months of books from a seed, to try a reconciliation on. Needs no server.

    \b
    report.csv         the provider's itemised payout report
    payouts.csv        what the provider says of each payout
    payments.csv, refunds.csv, disputes.csv
                       what the merchant's side should have recorded
    discrepancies.csv  every one that was injected, and where
    books.json         how much of everything: printed too

    \b
    Examples:
      paygate sandbox books --out /tmp/books --payments 1000
      paygate sandbox books --out /tmp/books --inject all=5 --inject late=20
    """  # noqa: D301 -- a backspace keeps the lines below as they are
    from paygate_sandbox.generator.files import write_books
    from paygate_sandbox.generator.plan import KINDS, Plan, PlanError

    wanted: dict[str, int] = {}
    for kind, count in (_pair(each) for each in inject or ()):
        if not count.isdecimal():
            raise typer.BadParameter(f"not KIND=COUNT: {kind}={count}")
        wanted.update(dict.fromkeys(KINDS if kind == "all" else (kind,), int(count)))
    marks = dict(_pair(each) for each in mark or ("installation=generated",))
    plan = Plan(seed, payments, months, discrepancies=wanted, attempt_key=attempt_key, marks=marks)
    try:
        summary = write_books(plan, out)
    except PlanError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        typer.echo(f"the books were not written: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(summary, indent=2))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"not NAME=VALUE: {text}")
    return name, value


def write_ready_file(path: Path, url: str, secret_key: str) -> None:
    """Whole or not at all, readable by its owner."""
    # A name that nobody can guess: a stranger's file or link never lies there already.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(draft, flags, 0o600)
    try:
        with os.fdopen(descriptor, "w") as handle:
            json.dump({"url": url, "secret_key": secret_key}, handle)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
