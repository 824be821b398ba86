"""`paygate ledger` on the directory of a running gateway."""

import json
from pathlib import Path

from tests.cli.processes import Ran, run
from tests.gateway import Gateway


def verify(gateway: Gateway, cwd: Path, *options: str) -> Ran:
    return run("ledger", "verify", "--data", gateway.ready["data_dir"], *options, cwd=cwd)


async def test_it_agrees(gateway: Gateway, tmp_path: Path) -> None:
    """Other tests leave charges at the provider behind that nobody here knows, and which are found;
    our own books agree whatever they do, and so does this payment.
    """
    intent = await gateway.create()
    assert (await gateway.confirm(intent["id"])).json["status"] == "succeeded"
    own = verify(gateway, tmp_path, "--no-provider")
    assert (own.status, own.err) == (0, ""), own.out
    assert own.out.rstrip().endswith(": nothing disagrees")
    ran = verify(gateway, tmp_path, "--json")
    found = json.loads(ran.out)
    assert found["not_compared"] == []
    assert found["provider_payments"] > 0
    assert ran.status == int(bool(found["mismatches"]))
    assert intent["id"] not in {mismatch["intent"] for mismatch in found["mismatches"]}


async def test_a_provider_that_does_not_answer(gateway: Gateway, tmp_path: Path) -> None:
    """Nothing is proven, so it is no success; our own books are checked all the same."""
    intent = await gateway.create()
    assert (await gateway.confirm(intent["id"])).json["status"] == "succeeded"
    fault = {"on": "list", "kind": "error_before", "probability": 1}
    await gateway.sandbox("POST", "/_sandbox/faults", fault)
    try:
        ran = verify(gateway, tmp_path, "--json")
        in_words = verify(gateway, tmp_path)
        own = verify(gateway, tmp_path, "--no-provider")
    finally:
        await gateway.sandbox("DELETE", "/_sandbox/faults")
    found = json.loads(ran.out)
    assert (ran.status, ran.err, found["mismatches"]) == (1, "", [])
    assert found["transfers"] > 0
    (part,) = found["not_compared"]
    assert part["since"] < intent["created_at"] < part["until"]
    assert in_words.status == 1
    assert "not compared from " in in_words.out
    assert in_words.out.rstrip().endswith("nothing disagrees, as far as it was compared")
    assert own.status == 0
