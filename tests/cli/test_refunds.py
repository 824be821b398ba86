"""`paygate refunds` over the API: made, decided on by another key and person, listed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.processes import Ran, is_one_clear_line, run
from tests.gateway import Gateway

LIMITED = {"PAYGATE_REFUND_APPROVAL_ABOVE": "eur=500"}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway.start(tmp_path_factory.mktemp("limited"), environment=LIMITED)
    yield running
    running.stop()


async def paid(gateway: Gateway) -> str:
    await gateway.open()
    intent = await gateway.create()
    assert (await gateway.confirm(intent["id"])).json["status"] == "succeeded"
    await gateway.close()
    return str(intent["id"])


def refunds(gateway: Gateway, cwd: Path, *arguments: str) -> Ran:
    return run("refunds", *arguments, "--data", gateway.ready["data_dir"], cwd=cwd)


async def test_made_approved_rejected_and_listed(limited: Gateway, tmp_path: Path) -> None:
    intent = await paid(limited)
    small = refunds(limited, tmp_path, "create", intent, "--amount", "300", "--json")
    made = json.loads(small.out)
    assert (made["object"], made["status"], made["amount"]) == ("refund", "succeeded", 300)
    unnamed = refunds(limited, tmp_path, "create", intent)
    is_one_clear_line(unnamed, "actor_required")
    assert "--actor" in unnamed.err
    asked = ("create", intent, "--amount", "600", "--actor", "ana@shop.example")
    first = refunds(limited, tmp_path, *asked, "--idempotency-key", "k1", "-q")
    again = refunds(limited, tmp_path, *asked, "--idempotency-key", "k1", "-q")
    assert (first.status, first.out) == (0, again.out)
    waits = first.out.strip()
    shown = refunds(limited, tmp_path, *asked)
    second = shown.out.split()[0]
    assert shown.out.startswith(f"{second} of 6.00 EUR is pending\nIt waits until ")
    assert f"paygate refunds approve {second} --actor NAME --key-file FILE\n" in shown.out
    own = refunds(limited, tmp_path, "approve", waits, "--actor", "ana@shop.example")
    is_one_clear_line(own, "approver_is_requester")
    key = run(
        *("api-keys", "create", "--role", "finance", "-q"),
        *("--data", limited.ready["data_dir"]),
        cwd=tmp_path,
    ).out
    (tmp_path / "bea.key").write_text(key)
    bea = ("--actor", "bea@shop.example", "--key-file", "bea.key")
    approved = refunds(limited, tmp_path, "approve", waits, *bea)
    assert approved.out.startswith(
        f"{waits} of 6.00 EUR is succeeded\nThe payer's bank shows it by"
    )
    again = refunds(limited, tmp_path, "approve", waits, *bea)
    is_one_clear_line(again, "state_conflict")
    rejected = refunds(limited, tmp_path, "reject", second, *bea, "--json")
    assert json.loads(rejected.out)["failure"]["code"] == "rejected"
    listed = refunds(limited, tmp_path, "list", "--payment-intent", intent, "--json")
    assert [each["amount"] for each in json.loads(listed.out)["data"]] == [600, 600, 300]
    table = refunds(limited, tmp_path, "list", "--payment-intent", intent)
    assert [row.split()[2:4] for row in table.out.splitlines()[1:]] == [
        *(["6.00", "EUR"], ["6.00", "EUR"], ["3.00", "EUR"])
    ]
    failed = refunds(limited, tmp_path, "list", "--status", "failed", "-q")
    assert failed.out == f"{second}\n"
