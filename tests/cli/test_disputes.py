"""`paygate disputes` over the API: evidence put together, submitted, a dispute accepted."""

import json
from pathlib import Path
from typing import Any

from tests.api.shops import Shop, open_shop
from tests.api.test_disputes import heard, ordered
from tests.api.test_refunds import paid
from tests.cli.processes import Ran, is_one_clear_line, run
from tests.documents.made import pdf
from tests.gateway import Gateway


async def disputed(shop: Shop) -> dict[str, Any]:
    intent = await paid(shop)
    reference = await ordered(shop.gateway, intent, reason="fraudulent", due_in_seconds=86_400)
    return await heard(shop, reference, "needs_response")


def disputes(shop: Shop, cwd: Path, *arguments: str) -> Ran:
    (cwd / "key").write_text(shop.admin)
    given = ("--data", shop.gateway.ready["data_dir"], "--key-file", "key")
    return run("disputes", *arguments, *given, cwd=cwd)


async def test_evidence_from_the_command_line(gateway: Gateway, tmp_path: Path) -> None:
    shop = await open_shop(gateway)
    dispute = (await disputed(shop))["id"]
    (tmp_path / "r.pdf").write_bytes(pdf())
    (tmp_path / "story.txt").write_text("A hat.\nRed.")
    empty = disputes(shop, tmp_path, "submit", dispute)
    is_one_clear_line(empty, "no evidence is staged")
    is_one_clear_line(disputes(shop, tmp_path, "evidence", dispute, "--text", "x"), "FIELD=VALUE")
    absent = disputes(shop, tmp_path, "evidence", dispute, "--file", "receipt=none.pdf")
    is_one_clear_line(absent, "there is no file none.pdf")
    texts = ("--text", "product_description=@story.txt", "--text", "customer_name=Ada")
    staged = disputes(
        *(shop, tmp_path, "evidence", dispute, *texts),
        *("--file", "receipt=r.pdf", "--actor", "ana@shop.example"),
    )
    assert staged.status == 0, staged
    assert "r.pdf" in staged.out
    assert "Missing for this reason: " in staged.out
    shown = json.loads(disputes(shop, tmp_path, "show", dispute, "--json").out)
    assert shown["evidence"]["texts"]["product_description"] == "A hat.\nRed."
    unset = ("--unset", "receipt", "--unset", "customer_name", "--json")
    after = json.loads(disputes(shop, tmp_path, "evidence", dispute, *unset).out)
    assert after["evidence"]["files"] == []
    assert "customer_name" not in after["evidence"]["texts"]
    submitted = disputes(shop, tmp_path, "submit", dispute, "--idempotency-key", "k", "--json")
    again = disputes(shop, tmp_path, "submit", dispute, "--idempotency-key", "k", "--json")
    assert json.loads(submitted.out)["evidence"]["submission_count"] == 1
    assert again.out == submitted.out
    is_one_clear_line(disputes(shop, tmp_path, "submit", dispute), "dispute_answered")
    listed = disputes(shop, tmp_path, "list", "-q")
    assert listed.out == f"{dispute}\n"
    assert "submitted" in disputes(shop, tmp_path, "list").out


async def test_accepting_asks_first(gateway: Gateway, tmp_path: Path) -> None:
    shop = await open_shop(gateway)
    dispute = await disputed(shop)
    asked = disputes(shop, tmp_path, "accept", dispute["id"])
    assert asked.status == 1, asked
    assert (await shop.call("GET", f"/disputes/{dispute['id']}")).json["status"] != "lost"
    accepted = disputes(shop, tmp_path, "accept", dispute["id"], "--yes", "-q")
    assert (accepted.status, accepted.out) == (0, f"{dispute['id']}\n"), accepted
    await heard(shop, dispute["provider_reference"], "lost")
