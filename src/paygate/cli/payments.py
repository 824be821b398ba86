"""`paygate payments`: look payments up; `paygate explain`: how one of them came to stand so."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from paygate.cli.command import AsJson, Data, Quiet, plain, print_json, print_table, run_async
from paygate.cli.over_api import Address, ApiUrl, KeyFile, address_of, call

app = typer.Typer(help="Payments: list them, show one.", no_args_is_help=True)

IntentId = Annotated[str, typer.Argument(metavar="INTENT", help="The payment: pi_...")]
PAGE: Final = 100
LABEL: Final = 26
"""Columns for the name of a line."""
NEWEST: Final = 100
"""Of a list that no option limits: nobody reads a year's payments line by line."""


@app.command("list")
def list_(
    status: Annotated[
        str | None, typer.Option(help="Such as processing, requires_capture, succeeded, failed.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Your own reference of the order.")] = None,
    customer: Annotated[str | None, typer.Option(help="Of this customer: cus_...")] = None,
    created_after: Annotated[
        str | None, typer.Option(metavar="ISO8601", help="Created after this time.")
    ] = None,
    created_before: Annotated[
        str | None, typer.Option(metavar="ISO8601", help="Created before this time.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = NEWEST,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the payments that pass the filters, newest first."""
    asked = {
        "status": status,
        "reference": reference,
        "customer": customer,
        "created_after": created_after,
        "created_before": created_before,
    }
    query = {name: value for name, value in asked.items() if value is not None}

    async def go() -> None:
        found, more = await _newest(address_of(data, api_url, key_file), query, limit)
        if as_json:
            url = "/payment-intents"
            print_json({"object": "list", "data": found, "has_more": more, "url": url})
            return
        head = ("id", "status", "amount", "refunded", "reference", "paid with")
        print_table((*head, "created"), [_row(intent) for intent in found], quiet=quiet)
        if more:
            typer.echo(f"There are more than these {limit}: see --limit and the filters.", err=True)

    run_async(go())


@app.command()
def show(
    intent: IntentId,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show how a payment stands."""

    async def go() -> None:
        found = await call(address_of(data, api_url, key_file), "GET", f"/payment-intents/{intent}")
        if as_json:
            print_json(found)
            return
        for name, value in _lines(found):
            typer.echo(f"{name:<{LABEL}}{plain(value, LABEL)}")

    run_async(go())


def explain(
    intent: IntentId,
    api_url: ApiUrl = None,
    key_file: KeyFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Explain a payment: who asked for what, what the provider said, what came of it."""

    async def go() -> None:
        path = f"/payment-intents/{intent}/timeline"
        found = await call(address_of(data, api_url, key_file), "GET", path)
        if as_json:
            print_json(found)
            return
        head = ("time (UTC)", "what", "what happened", "by", "request, or the provider's id")
        print_table(head, [_told(entry) for entry in found["entries"]])

    run_async(go())


async def _newest(
    address: Address, query: dict[str, str], limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """The newest payments, and whether there are more."""
    found: list[dict[str, Any]] = []
    while True:
        page = {"limit": str(min(PAGE, limit - len(found)))}
        after = {"starting_after": found[-1]["id"]} if found else {}
        answer = await call(address, "GET", "/payment-intents", query={**query, **page, **after})
        found += answer["data"]
        if not answer["has_more"] or len(found) >= limit:
            return found, bool(answer["has_more"])


def _row(intent: dict[str, Any]) -> tuple[str | None, ...]:
    return (
        *(intent["id"], intent["status"], _money(intent, "amount")),
        _money(intent, "amount_refunded") if intent["amount_refunded"] else None,
        *(intent["reference"], _method(intent["payment_method"]), intent["created_at"]),
    )


def _money(intent: dict[str, Any], name: str) -> str:
    from paygate.domain.money import major_units

    return major_units(intent[name], intent["currency"])


def _method(method: dict[str, Any] | None) -> str | None:
    if method is None:
        return None
    known = (method.get("brand") or method["type"], method.get("last4"))
    return " ".join(filter(None, known))


def _lines(intent: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is known of a payment, and nothing of what is not."""
    money = ("amount", "amount_capturable", "amount_received", "amount_refunded")
    yield "id", intent["id"]
    yield "status", intent["status"]
    for name in (*money, "amount_refund_pending", "amount_refundable"):
        if intent[name] or name == "amount":
            yield name.removeprefix("amount_").replace("_", " "), _money(intent, name)
    if intent["last_payment_error"] is not None:
        error = intent["last_payment_error"]
        yield "failed because", f"{error['message']} ({error['code']})"
    if (method := _method(intent["payment_method"])) is not None:
        yield "paid with", method
    for name in ("pending_operation", "cancellation_reason", "reference", "description"):
        if intent[name] is not None:
            yield name.replace("_", " "), intent[name]
    if intent["status"] == "requires_capture":
        yield "held until", intent["authorization_expires_at"]
    for name in ("customer", "provider_reference"):
        if intent[name] is not None:
            yield name.replace("_", " "), intent[name]
    yield "created", intent["created_at"]
    yield "updated", intent["updated_at"]
    yield "how it came so", f"paygate explain {intent['id']}"


def _told(entry: dict[str, Any]) -> tuple[str | None, ...]:
    at = entry["at"].replace("T", " ").removesuffix("Z")
    named = entry["request_id"] or entry["provider_reference"]
    return (at, entry["kind"].replace("_", " "), entry["summary"], entry["actor"], named)
