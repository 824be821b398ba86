"""`paygate ledger` on the directory of a running gateway."""

import json
from pathlib import Path

from tests.cli.processes import Ran, run
from tests.gateway import Gateway


def verify(gateway: Gateway, cwd: Path, *options: str) -> Ran:
    return run("ledger", "verify", "--data", gateway.ready["data_dir"], *options, cwd=cwd)


async def test_it_agrees(gateway: Gateway, tmp_path: Path) -> None:
    intent = await gateway.create()
    assert (await gateway.confirm(intent["id"])).json["status"] == "succeeded"
    ran = verify(gateway, tmp_path)
    assert (ran.status, ran.err) == (0, ""), ran.out
    assert ran.out.rstrip().endswith(": nothing disagrees")


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
