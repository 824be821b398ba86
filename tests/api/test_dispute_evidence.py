"""Evidence over HTTP: staged as JSON and as a form, submitted and won; refused clearly; audited."""

import asyncio
import uuid
from typing import Any

import pytest

from tests.api.shops import Shop, audited, open_shop
from tests.api.test_disputes import heard, ordered
from tests.api.test_refunds import paid
from tests.documents.made import pdf, png
from tests.gateway import Gateway, Response

DAYS = 8 * 24 * 3600


class Case:
    """A shop's dispute."""

    def __init__(self, shop: Shop, dispute: dict[str, Any]) -> None:
        self.shop = shop
        self.reference = str(dispute["provider_reference"])
        self.path = f"/disputes/{dispute['id']}"
        self.dispute = dispute

    async def put(self, body: Any, **more: Any) -> Response:
        return await self.shop.call("POST", f"{self.path}/evidence", body, **more)

    async def send(self, *parts: tuple[str, bytes, str], **more: Any) -> Response:
        """Files as a form: field, content and name of each."""
        boundary = uuid.uuid4().hex
        raw = b""
        for field, content, name in parts:
            head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
            raw += f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        headers |= more.pop("headers", {})
        raw += f"--{boundary}--\r\n".encode()
        path = f"{self.path}/evidence"
        return await self.shop.call("POST", path, raw=raw, headers=headers, **more)

    async def read(self) -> dict[str, Any]:
        return (await self.shop.call("GET", self.path)).json


async def case(gateway: Gateway, **order: Any) -> Case:
    shop = await open_shop(gateway)
    intent = await paid(shop)
    order = {"reason": "product_not_received", "due_in_seconds": DAYS} | order
    reference = await ordered(gateway, intent, **order)
    return Case(shop, await heard(shop, reference, "needs_response"))


async def test_a_dispute_is_won_with_texts_and_a_file(gateway: Gateway) -> None:
    c = await case(gateway)
    evidence = c.dispute["evidence"]
    assert evidence["texts"]["uncategorized_text"].startswith("Payment of 19.99 EUR on ")
    assert "shipping_tracking_number" in evidence["missing"]
    assert (evidence["staged_at"], evidence["submitted_at"]) == (None, None)
    texts = {"product_description": "A hat.\nRed.", "uncategorized_text": "winning_evidence"}
    staged = await c.put({"texts": texts})
    assert staged.status == 200, staged
    assert staged.json["evidence"]["texts"] == texts
    content = pdf(2, size=300_000)
    sent = await c.send(("shipping_documentation", content, "../Beleg (ü).PDF"))
    assert sent.status == 200, sent
    (file,) = sent.json["evidence"]["files"]
    assert (file["field"], file["name"], file["content_type"], file["size_bytes"]) == (
        "shipping_documentation",
        "Beleg_u.pdf",
        "application/pdf",
        len(content),
    )
    assert file["id"].startswith("file_")
    assert "shipping_documentation" not in sent.json["evidence"]["missing"]
    assert (await c.read())["evidence"]["submission_count"] == 0
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = await c.shop.call("POST", f"{c.path}/submit", {}, headers=headers)
    assert first.status == 200, first
    again = await c.shop.call("POST", f"{c.path}/submit", {}, headers=headers)
    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
    submitted = first.json
    assert (submitted["evidence"]["submission_count"], submitted["pending_operation"]) == (1, None)
    assert submitted["evidence"]["submitted_at"] is not None
    refused = await c.shop.call("POST", f"{c.path}/submit", {})
    assert (refused.status, refused.code) == (409, "dispute_answered")
    assert refused.json["error"]["dispute"]["id"] == c.dispute["id"]
    shown = await gateway.sandbox("GET", f"/v1/disputes/{c.reference}")
    assert shown["evidence"]["product_description"] == "A hat.\nRed."
    assert shown["evidence"]["shipping_documentation"].startswith("file_")
    assert shown["evidence_details"]["submission_count"] == 1
    won = await heard(c.shop, c.reference, "won")
    assert won["evidence"]["files"] == submitted["evidence"]["files"]


async def test_an_accepted_dispute_is_lost(gateway: Gateway) -> None:
    c = await case(gateway)
    after = await c.shop.call("POST", f"{c.path}/accept", {})
    assert after.status == 200, after
    await heard(c.shop, c.reference, "lost")
    for action in ("accept", "submit"):
        refused = await c.shop.call("POST", f"{c.path}/{action}", {})
        assert (refused.status, refused.code) == (409, "state_conflict")


async def test_too_late_carries_the_deadline(gateway: Gateway) -> None:
    c = await case(gateway, due_in_seconds=2)
    await asyncio.sleep(2.1)
    due = c.dispute["evidence_due_by"]
    for action in ("evidence", "submit", "accept"):
        body: dict[str, Any] = {}
        refused = await c.shop.call("POST", f"{c.path}/{action}", body)
        assert (refused.status, refused.code) == (409, "evidence_deadline_passed")
        assert refused.json["error"]["dispute"]["evidence_due_by"] == due
        assert due[:19] in refused.json["error"]["message"]


BODIES: list[tuple[Any, str, str | None]] = [
    ({"texts": {"product": "x"}}, "parameter_unknown", "texts.product"),
    ({"texts": {"receipt": "file_1"}}, "parameter_unknown", "texts.receipt"),
    ({"texts": {"customer_name": ""}}, "parameter_invalid", "texts.customer_name"),
    ({"texts": {"customer_name": 1}}, "parameter_invalid", "texts.customer_name"),
    ({"texts": {"customer_name": "x" * 5001}}, "parameter_invalid", "texts.customer_name"),
    ({"texts": {"customer_name": "a\x00b"}}, "parameter_invalid", "texts.customer_name"),
    ({"texts": {"customer_name": "4242 4242 4242 4242"}}, "card_data_refused", None),
    ({"texts": None}, "parameter_invalid", "texts"),
    ({"files": {"receipt": "x"}}, "parameter_invalid", "files.receipt"),
    ({"submit": True}, "parameter_unknown", "submit"),
    ([], "parameter_invalid", None),
]


async def test_what_is_malformed_is_refused_and_changes_nothing(gateway: Gateway) -> None:
    c = await case(gateway)
    for body, code, param in BODIES:
        answer = await c.put(body)
        assert (answer.status, answer.code) == (400, code), body
        assert param is None or answer.json["error"]["param"] == param
    files: list[tuple[list[tuple[str, bytes, str]], int, str, str | None]] = [
        ([("reciept", pdf(), "r.pdf")], 400, "parameter_unknown", "reciept"),
        ([("receipt", pdf(), "a"), ("receipt", pdf(), "b")], 400, "parameter_invalid", "receipt"),
        ([("receipt", b"hello", "r.pdf")], 400, "file_not_taken", "receipt"),
        ([("receipt", b"", "r.pdf")], 400, "file_not_taken", "receipt"),
        ([("receipt", pdf(50), "r.pdf")], 400, "evidence_too_large", "receipt"),
        ([("receipt", png(), "4242424242424242.png")], 400, "card_data_refused", "receipt"),
        ([("receipt", png(5_000_001), "r.png")], 413, "body_too_large", None),
        ([], 400, "parameter_missing", None),
    ]
    for parts, status, code, param in files:
        answer = await c.send(*parts)
        assert (answer.status, answer.code) == (status, code), code
        assert param is None or answer.json["error"]["param"] == param
    for content_type, status, code in (
        ("multipart/form-data", 400, "malformed_multipart"),
        ("multipart/form-data; boundary=a; charset=latin1", 415, "content_type_unsupported"),
        ("multipart/mixed; boundary=a", 415, "content_type_unsupported"),
        ("application/pdf", 415, "content_type_unsupported"),
    ):
        headers = {"Content-Type": content_type}
        raw = b"--a--\r\n"
        path = f"{c.path}/evidence"
        answer = await c.shop.call("POST", path, raw=raw, headers=headers)
        assert (answer.status, answer.code) == (status, code), content_type
    assert (await c.read())["version"] == c.dispute["version"]


async def test_a_form_elsewhere_is_no_body(gateway: Gateway) -> None:
    c = await case(gateway)
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    path = f"{c.path}/submit"
    answer = await c.shop.call("POST", path, raw=b"--a--\r\n", headers=headers)
    assert (answer.status, answer.code) == (415, "content_type_unsupported")


async def test_a_form_under_a_key_is_the_same_request_by_its_content(gateway: Gateway) -> None:
    c = await case(gateway)
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    one, other = ("receipt", pdf(1), "r.pdf"), ("receipt", pdf(2), "r.pdf")
    first = await c.send(one, headers=headers)
    again = await c.send(one, headers=headers)  # under another boundary
    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
    refused = await c.send(other, headers=headers)
    assert (refused.status, refused.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("role", ["support", "finance", "auditor"])
async def test_others_read_and_do_not_act(gateway: Gateway, role: str) -> None:
    c = await case(gateway)
    key = (await c.shop.made(role))["key"]
    assert (await c.shop.call("GET", c.path, key=key)).status == 200
    for answer in (
        await c.put({"texts": {}}, key=key),
        await c.send(("receipt", pdf(), "r.pdf"), key=key),
        await c.shop.call("POST", f"{c.path}/submit", {}, key=key),
        await c.shop.call("POST", f"{c.path}/accept", {}, key=key),
    ):
        assert (answer.status, answer.code) == (403, "role_not_allowed")


async def test_another_merchants_is_not_there(gateway: Gateway) -> None:
    c, other = await case(gateway), await open_shop(gateway)
    theirs = Case(other, c.dispute)
    for answer in (
        await theirs.put({"texts": {}}),
        await theirs.send(("receipt", pdf(), "r.pdf")),
        await other.call("POST", f"{c.path}/submit", {}),
        await other.call("POST", f"{c.path}/accept", {}),
    ):
        assert (answer.status, answer.code) == (404, "resource_missing")


async def test_every_act_is_audited_with_its_actor(gateway: Gateway) -> None:
    c = await case(gateway)
    headers = {"Paygate-Actor": "ana@shop.example"}
    staged = await c.put({"texts": {"uncategorized_text": "losing_evidence"}}, headers=headers)
    sent = await c.send(("receipt", pdf(), "secret-name.pdf"), headers=headers)
    submitted = await c.shop.call("POST", f"{c.path}/submit", {}, headers=headers)
    entries = await audited(gateway)
    for answer, action in (
        (staged, "dispute.stage_evidence"),
        (sent, "dispute.stage_evidence"),
        (submitted, "dispute.submit"),
    ):
        found = entries[answer.headers["Request-Id"]]
        assert {entry.action for entry in found} >= {action}
        assert {entry.actor.name for entry in found} == {"ana@shop.example"}
        assert "secret-name" not in repr(found)
