"""`paygate provider-events` and `paygate trigger` on the directory of a running gateway."""

import json
from pathlib import Path
from typing import Any

import pytest

from paygate.domain.access.roles import Action
from tests.api.shops import audited
from tests.cli.processes import Ran, is_one_clear_line, run
from tests.gateway import Gateway, until

UNKNOWN = "pe_" + "0" * 26


def paygate(gateway: Gateway, cwd: Path, *arguments: str) -> Ran:
    return run(*arguments, "--data", gateway.ready["data_dir"], cwd=cwd)


def printed(ran: Ran) -> dict[str, Any]:
    assert (ran.status, ran.err, ran.out.count("\n")) == (0, "", 1), ran
    return dict(json.loads(ran.out))


async def triggered(gateway: Gateway, cwd: Path, *arguments: str) -> dict[str, Any]:
    """An event that the sandbox was made to send, once it came here."""
    sent = printed(paygate(gateway, cwd, "trigger", *arguments, "--json"))
    assert sent["endpoints"] == 1
    reference, found = sent["provider_reference"], {}

    async def came() -> bool:
        listed = await gateway.call("GET", f"/provider-events?type={sent['type']}&limit=100")
        found.update({e["provider_reference"]: e for e in listed.json["data"]})
        return reference in found

    await until(came)
    return dict(found[reference])


async def test_a_rehearsed_event_is_listed_shown_and_replayed(
    running: Gateway, tmp_path: Path
) -> None:
    event = await triggered(running, tmp_path, "mandate.updated")
    assert (event["status"], event["verdict"]) == ("ignored", "no_handler")
    filters = ("--type", "mandate.updated", "--status", "ignored", "--verdict", "no_handler")
    listed = printed(paygate(running, tmp_path, "provider-events", "list", *filters, "--json"))
    assert (listed["object"], listed["has_more"], listed["url"]) == (
        *("list", False),
        "/provider-events",
    )
    assert event in listed["data"]
    table = paygate(running, tmp_path, "provider-events", "list", *filters)
    assert event["id"] in table.out
    assert "mandate.updated" in table.out
    shown = paygate(running, tmp_path, "provider-events", "show", event["id"])
    assert (shown.status, shown.err) == (0, "")
    assert "no_handler" in shown.out
    body = json.loads(
        paygate(running, tmp_path, "provider-events", "show", event["id"], "--quiet").out
    )
    assert body["data"]["object"]["object"] == "mandate"
    whole = printed(paygate(running, tmp_path, "provider-events", "show", event["id"], "--json"))
    assert whole == event | {"body": body}
    replayed = paygate(running, tmp_path, "provider-events", "replay", event["id"], "--json")
    assert printed(replayed)["status"] == "received"
    actions = {
        entry.action
        for entries in (await audited(running)).values()
        for entry in entries
        if entry.actor.type == "command"
    }
    assert {Action.PROVIDER_EVENT_READ_BODY, Action.PROVIDER_EVENT_REPLAY} <= actions


async def test_a_payment_of_ours_may_be_rehearsed(running: Gateway, tmp_path: Path) -> None:
    intent = (await running.confirm((await running.create())["id"])).json
    reference = intent["provider_reference"]
    event = await triggered(
        running, tmp_path, "payment_intent.succeeded", "--payment", str(reference)
    )
    assert event["subject"] == {"object": "payment_intent", "id": intent["id"]}
    words = paygate(running, tmp_path, "trigger", "refund.created")
    assert words.out.endswith("(refund.created) goes to 1 endpoint(s)\n")
    quiet = paygate(running, tmp_path, "trigger", "refund.created", "--quiet")
    assert quiet.out.startswith("evt_")


def test_what_can_be_sent_is_listed(running: Gateway, tmp_path: Path) -> None:
    names = paygate(running, tmp_path, "trigger", "--list").out.split()
    assert "payment_intent.succeeded" in names
    listed = printed(paygate(running, tmp_path, "trigger", "--list", "--json"))
    assert [each["id"] for each in listed["data"]] == names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trigger", "refund.create"), ("did you mean refund.created?",)),
        (("trigger", "zzz"), ("--list names them",)),
        (("trigger",), ("an event's name, or --list",)),
        (("trigger", "refund.created", "--list"), ("an event's name, or --list",)),
        (("provider-events", "list", "--status"), ("requires an argument",)),
    ],
)
def test_what_is_used_wrongly(
    running: Gateway, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    ran = run(*arguments, cwd=tmp_path, environ={"PAYGATE_DATA": running.ready["data_dir"]})
    assert ran.status == 2, ran
    said = " ".join(ran.err.replace("│", " ").split())
    assert all(word in said for word in words), ran.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("provider-events", "show", UNKNOWN), "no such provider event"),
        (("provider-events", "replay", "pe_1"), "no such provider event"),
        (("provider-events", "list", "--status", "lost"), "must be one of"),
        (("provider-events", "list", "--created-after", "yesterday"), "created_after"),
        (("trigger", "refund.created", "--payment", "pi_none"), "no such payment"),
    ],
)
def test_what_is_refused(
    running: Gateway, tmp_path: Path, arguments: tuple[str, ...], word: str
) -> None:
    is_one_clear_line(paygate(running, tmp_path, *arguments), word)


def test_stripe_itself_is_asked_for_nothing(running: Gateway, tmp_path: Path) -> None:
    environ = {
        "PAYGATE_DATA": running.ready["data_dir"],
        "PAYGATE_STRIPE_API_BASE": "https://api.stripe.com",
    }
    ran = run("trigger", "refund.created", cwd=tmp_path, environ=environ)
    is_one_clear_line(ran, "the provider here is Stripe")
