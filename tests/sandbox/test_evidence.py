"""Evidence at the sandbox: texts, files, limits, and fees that are agreed to."""

import hashlib
from typing import Any

import pytest

from tests.sandbox.caller import Caller, Json
from tests.sandbox.test_disputes import DISPUTES, disputed, ordered, rows

PDF, PNG, JPEG = b"%PDF-1.7 x", b"\x89PNG\r\n\x1a\n x", b"\xff\xd8\xff\xe0 x"
LONG, SHORT = 20_000, 5_000


async def say(stripe: Caller, dispute: Json, evidence: Json, **more: Any) -> Json:
    return await stripe.post(f"{DISPUTES}/{dispute['id']}", {"evidence": evidence, **more})


async def test_what_is_put_down_is_not_submitted(stripe: Caller) -> None:
    dispute = await disputed(stripe)
    staged = await say(stripe, dispute, {"customer_name": "Ada"}, submit=False)
    assert (staged["status"], staged["evidence"]["customer_name"]) == ("needs_response", "Ada")
    details = staged["evidence_details"]
    assert (details["has_evidence"], details["submission_count"]) == (True, 0)
    emptied = await say(stripe, dispute, {"customer_name": ""}, submit=False)
    assert emptied["evidence_details"]["has_evidence"] is False
    await stripe.refused(f"{DISPUTES}/{dispute['id']}", {"submit": True})
    await say(stripe, dispute, {"customer_name": "Ada"}, submit=False)
    sent = await stripe.post(f"{DISPUTES}/{dispute['id']}", {"submit": True})
    assert (sent["status"], sent["evidence"]["customer_name"]) == ("under_review", "Ada")
    assert sent["evidence_details"]["submission_count"] == 1


async def test_without_a_word_it_is_submitted_and_again(stripe: Caller) -> None:
    dispute = await disputed(stripe)
    assert (await say(stripe, dispute, {"customer_name": "Ada"}))["status"] == "under_review"
    again = await say(stripe, dispute, {"customer_name": "Ida"})
    assert again["evidence_details"]["submission_count"] == 2, (
        "nothing but a caller's care stops it"
    )


async def test_how_long_a_text_may_be(stripe: Caller) -> None:
    dispute = await disputed(stripe)
    most = {"product_description": "é" * LONG, "shipping_address": "é" * SHORT}
    await say(stripe, dispute, most, submit=False)
    path = f"{DISPUTES}/{dispute['id']}"
    for field, limit in (("product_description", LONG), ("shipping_address", SHORT)):
        refused = await stripe.refused(path, {"evidence": {field: "é" * (limit + 1)}})
        assert refused["param"] == f"evidence[{field}]"
    fields = [
        "access_activity_log",
        "cancellation_policy_disclosure",
        "cancellation_rebuttal",
        "duplicate_charge_explanation",
        "refund_policy_disclosure",
        "refund_refusal_explanation",
    ]
    together = dict.fromkeys(fields, "x" * LONG)
    await say(stripe, dispute, {**together, "product_description": "x" * LONG}, submit=False)
    over = await stripe.refused(path, {"evidence": {"uncategorized_text": "x" * 5_001}})
    assert over["param"] == "evidence"
    await say(stripe, dispute, {"uncategorized_text": "x" * 5_000}, submit=False)
    unknown = await stripe.refused(path, {"evidence": {"poem": "x"}})
    assert unknown["code"] == "parameter_unknown"


@pytest.mark.parametrize(("content", "kind"), [(PDF, "pdf"), (PNG, "png"), (JPEG, "jpg")])
async def test_a_file_is_known_by_its_content(stripe: Caller, content: bytes, kind: str) -> None:
    answer = await stripe.upload("beleg.bin", content, key="file")
    file = answer.body
    assert answer.status == 200
    assert (file["type"], file["size"], file["filename"]) == (kind, len(content), "beleg.bin")
    again = await stripe.upload("beleg.bin", content, key="file")
    assert again.body == file
    other = await stripe.upload("beleg.bin", content + b"y", key="file")
    assert other.error["type"] == "idempotency_error"
    assert await stripe.get(f"/v1/files/{file['id']}") == file
    assert (await stripe.get("/v1/files"))["data"] == [file]
    (line,) = (await stripe.control("GET", "ledger"))["files"]
    assert line["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"a,b\n1,2\n", PDF + b"x" * 5_000_000], ids=len
)
async def test_what_is_no_evidence(stripe: Caller, content: bytes) -> None:
    answer = await stripe.upload("beleg.pdf", content)
    assert (answer.status, answer.error["param"]) == (400, "file")


async def test_what_is_no_form_of_parts(stripe: Caller) -> None:
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await stripe.call(
            "POST", "/v1/files", headers={"Content-Type": kind}, body="purpose=x"
        )
        assert answer.status == 400
    wrong = await stripe.upload("beleg.pdf", PDF, purpose="identity_document")
    assert wrong.error["param"] == "purpose"


async def test_files_in_evidence(stripe: Caller) -> None:
    dispute = await disputed(stripe)
    file = (await stripe.upload("r.pdf", PDF)).body
    staged = await say(stripe, dispute, {"receipt": file["id"]}, submit=False)
    assert staged["evidence"]["receipt"] == file["id"]
    path = f"{DISPUTES}/{dispute['id']}"
    missing = await stripe.refused(path, {"evidence": {"receipt": "file_none"}})
    assert (missing["param"], missing["code"]) == ("evidence[receipt]", "resource_missing")
    large = [(await stripe.upload("r.pdf", PDF + b"x" * 2_400_000)).body["id"] for _ in range(2)]
    over = await stripe.refused(
        path, {"evidence": {"receipt": large[0], "uncategorized_file": large[1]}}
    )
    assert over["param"] == "evidence"


async def test_the_fee_of_a_network_is_agreed_to(stripe: Caller) -> None:
    dispute = await disputed(stripe, "pm_card_createComplianceDispute")
    assert dispute["enhanced_eligibility_types"] == ["visa_compliance"]
    path = f"{DISPUTES}/{dispute['id']}"
    refused = await stripe.refused(path, {"evidence": {"customer_name": "Ada"}})
    assert refused["param"] == "evidence[enhanced_evidence][visa_compliance][fee_acknowledged]"
    for wrong in ("1", "0"):
        told = {"visa_compliance": {"fee_acknowledged": wrong}}
        await stripe.refused(path, {"evidence": {"enhanced_evidence": told}})
    agreed = {"visa_compliance": {"fee_acknowledged": True}}
    sent = await say(stripe, dispute, {"customer_name": "Ada", "enhanced_evidence": agreed})
    status = sent["evidence_details"]["enhanced_eligibility"]["visa_compliance"]["status"]
    assert (sent["status"], status) == ("under_review", "fee_acknowledged")
    assert rows(sent)[1:] == [(-50_000, 0, "fee")]
    mastercard = await ordered(stripe, compliance="mastercard", reason="noncompliant")
    assert mastercard["enhanced_eligibility_types"] == ["mastercard_compliance"]
