"""`paygate disputes`: look at what payers' banks ask back, and answer it."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from paygate.cli.command import (
    AsJson,
    Data,
    Quiet,
    plain,
    print_json,
    print_list,
    print_table,
    run_async,
)
from paygate.cli.over_api import Actor, Address, Again, ApiUrl, KeyFile, address_of, call, every
from paygate.settings import SettingsError

app = typer.Typer(
    help="Disputes: list, show, put evidence together, submit it, accept.", no_args_is_help=True
)

DisputeId = Annotated[str, typer.Argument(metavar="ID", help="The dispute's id: dp_...")]


@app.command("list")
def list_(
    payment_intent: Annotated[str | None, typer.Option(help="Of this payment: pi_...")] = None,
    status: Annotated[str | None, typer.Option(help="Such as needs_response, won, lost.")] = None,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the disputes that pass the filters, newest first."""
    asked = {"payment_intent": payment_intent, "status": status}
    query = {name: value for name, value in asked.items() if value is not None}

    async def go() -> None:
        found = await every(address_of(data, api_url, key_file), "/disputes", query)
        if as_json:
            print_list(found, "/disputes")
            return
        head = ("id", "payment", "amount", "currency", "reason", "status", "due by", "evidence")
        print_table(head, [_row(dispute) for dispute in found], quiet=quiet)

    run_async(go())


@app.command()
def show(
    dispute_id: DisputeId,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show a dispute, what is staged against it, and what is missing."""

    async def go() -> None:
        address = address_of(data, api_url, key_file)
        found = await call(address, "GET", f"/disputes/{dispute_id}")
        _show(found, as_json=as_json, quiet=quiet)

    run_async(go())


@app.command()
def evidence(
    dispute_id: DisputeId,
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=TEXT", help="Set a text; FIELD=@PATH reads it from a file."),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=PATH", help="Set a file: PDF, JPEG or PNG."),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Take a text or file out.")
    ] = None,
    actor: Actor = None,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Put evidence together; nothing is submitted."""

    async def go() -> None:
        texts = {field: _text(value) for field, value in _pairs(text or ())}
        files = {field: Path(value) for field, value in _pairs(file or ())}
        for path in files.values():
            if not path.is_file():
                raise SettingsError(f"there is no file {path}")
        address, at = address_of(data, api_url, key_file), f"/disputes/{dispute_id}"
        staged = await _staged(address, at, texts, unset or (), actor)
        if files:
            key = secrets.token_hex(16)
            staged = await call(
                address, "POST", f"{at}/evidence", files=files, actor=actor, key=key
            )
        _show(staged, as_json=as_json, quiet=quiet)

    run_async(go())


@app.command()
def submit(
    dispute_id: DisputeId,
    acknowledge_fee: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Agree to the fee of a compliance case: visa, ..."),
    ] = None,
    idempotency_key: Again = None,
    actor: Actor = None,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Submit the staged evidence: once, before its deadline."""
    key = idempotency_key or secrets.token_hex(16)

    async def go() -> None:
        address = address_of(data, api_url, key_file)
        body = {"fees_acknowledged": acknowledge_fee or []}
        path = f"/disputes/{dispute_id}/submit"
        after = await call(address, "POST", path, body=body, actor=actor, key=key)
        _show(after, as_json=as_json, quiet=quiet)
        if after["evidence"]["refusals"]:
            raise SettingsError("the provider does not take the evidence; nothing was submitted")

    run_async(go())


@app.command()
def accept(
    dispute_id: DisputeId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
    idempotency_key: Again = None,
    actor: Actor = None,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Accept a dispute: its money is given up, for ever."""
    if not yes:
        typer.confirm(f"Give up the money of {dispute_id}, for ever?", abort=True, err=True)
    key = idempotency_key or secrets.token_hex(16)

    async def go() -> None:
        address = address_of(data, api_url, key_file)
        path = f"/disputes/{dispute_id}/accept"
        after = await call(address, "POST", path, body={}, actor=actor, key=key)
        _show(after, as_json=as_json, quiet=quiet)

    run_async(go())


async def _staged(
    address: Address, at: str, texts: dict[str, str], unset: Iterable[str], actor: str | None
) -> dict[str, Any]:
    """The dispute with these texts, and without these fields; as it is when there are none."""
    before = await call(address, "GET", at)
    files = {file["field"] for file in before["evidence"]["files"]}
    gone = {field: field in files for field in unset}
    body = {
        "texts": texts | {field: None for field, is_file in gone.items() if not is_file},
        "files": {field: None for field, is_file in gone.items() if is_file},
    }
    if not body["texts"] and not body["files"]:
        return before
    key = secrets.token_hex(16)
    return await call(address, "POST", f"{at}/evidence", body=body, actor=actor, key=key)


def _pairs(given: Iterable[str]) -> Iterable[tuple[str, str]]:
    """The field and the value of each FIELD=VALUE."""
    for pair in given:
        field, sign, value = pair.partition("=")
        if not sign or not value:
            raise SettingsError(f"{field} must be written FIELD=VALUE")
        yield field, value


def _text(value: str) -> str:
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"there is no text in UTF-8 in {value[1:]}") from None


def _row(dispute: dict[str, Any]) -> tuple[str | None, ...]:
    return (
        *(dispute["id"], dispute["payment_intent"], str(dispute["amount"]), dispute["currency"]),
        *(dispute["reason"], dispute["status"], dispute["evidence_due_by"]),
        _how_far(dispute["evidence"]),
    )


def _how_far(evidence: dict[str, Any]) -> str | None:
    """How far the answer is, in a word."""
    if evidence["submission_count"]:
        return "submitted"
    return None if evidence["staged_at"] is None else "staged"


def _show(dispute: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(dispute)
        return
    if quiet:
        typer.echo(dispute["id"])
        return
    amount = f"{dispute['amount']} {dispute['currency']}"
    typer.echo(
        f"{dispute['id']} of {amount} (smallest units), {dispute['reason']}: {dispute['status']}"
    )
    evidence = dispute["evidence"]
    if evidence["submission_count"]:
        typer.echo(f"Evidence was submitted, {evidence['submission_count']} times.")
    elif dispute["evidence_due_by"] is not None:
        typer.echo(f"Evidence is due by {dispute['evidence_due_by']}.")
    if dispute["pending_operation"] is not None:
        typer.echo(f"Under way at the provider: {dispute['pending_operation']}")
    for field, text in evidence["texts"].items():
        typer.echo(f"  {field:<32}{plain(text, 34)}")
    for file in evidence["files"]:
        typer.echo(f"  {file['field']:<32}{file['name']}, {file['size_bytes']} bytes")
    if evidence["missing"] and not evidence["submission_count"]:
        typer.echo(f"Missing for this reason: {', '.join(evidence['missing'])}")
    for refusal in evidence["refusals"]:
        typer.echo(f"Not taken: {refusal['field'] or 'all of it'}: {plain(refusal['message'])}")
