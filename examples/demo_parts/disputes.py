"""A dispute that is answered with a file before its deadline, and won."""

import zlib
from datetime import UTC, datetime
from typing import Any

from demo_parts.merchant import Merchant, check, wait_for

REASON = "product_not_received"


def dispute_won(merchant: Merchant) -> None:
    intent = merchant.confirm(merchant.create(4200, "eur", reference="order-77"), "pm_card_visa")
    (charge,) = merchant.charges(intent)
    days = 8 * 24 * 3600
    order = {"charge": charge["id"], "reason": REASON, "due_in_seconds": days}
    merchant.sandbox("POST", "/_sandbox/disputes", order)

    def disputed(*statuses: str) -> dict[str, Any] | None:
        listed = merchant.call("GET", f"/disputes?payment_intent={intent['id']}")["data"]
        return next((d for d in listed if d["status"] in statuses and d["money"]["fee"]), None)

    dispute = wait_for("the dispute", lambda: disputed("needs_response"))
    path = f"/disputes/{dispute['id']}"
    check(dispute["money"]["withdrawn"] == 4200, "the payer's bank has taken 42.00 EUR")
    due = datetime.fromisoformat(dispute["evidence_due_by"])
    check(due > datetime.now(UTC), f"evidence is due by {due:%B %d, %H:%M} UTC")
    refused = merchant.call("POST", f"/payment-intents/{intent['id']}/refund", {})["error"]
    check(refused["code"] == "payment_disputed", "a refund would give it back twice: refused")
    prefilled = dispute["evidence"]["texts"]["uncategorized_text"]
    check("order-77" in prefilled, f"the gateway knows already: {prefilled}")
    check("shipping_tracking_number" in dispute["evidence"]["missing"], "what is missing is named")
    texts = {"product_description": "Two shoes.", "uncategorized_text": "winning_evidence"}
    staged = merchant.call("POST", f"{path}/evidence", {"texts": texts})
    check(staged["evidence"]["staged_at"], "texts are staged; nothing is submitted")
    refused = merchant.send_file(f"{path}/evidence", "shipping_documentation", b"%!PS", "a.pdf")
    check(refused["error"]["code"] == "file_not_taken", f"{refused['error']['message']}")
    label = merchant.send_file(
        f"{path}/evidence", "shipping_documentation", _picture(), "Lieferschein (gelb).png"
    )
    (file,) = label["evidence"]["files"]
    check(file["content_type"] == "image/png", f"a file is staged, encrypted: {file['name']}")
    after = merchant.call("POST", f"{path}/submit", {}, key="answer the bank")
    check(after["evidence"]["submission_count"] == 1, f"submitted, once: {after['status']}")
    again = merchant.call("POST", f"{path}/submit", {}, key="answer the bank")
    check(again["version"] == after["version"], "the same request again: the same answer")
    refused = merchant.call("POST", f"{path}/submit", {})["error"]
    check(refused["code"] == "dispute_answered", f"another one: {refused['message']}")
    merchant.sandbox("POST", "/_sandbox/clock", {"advance_seconds": 60})
    won = wait_for("the win", lambda: disputed("won"))
    check(won["money"]["reinstated"] == 4200, "won: the 42.00 EUR are back")
    check(won["money"]["fee"] > 0, f"the fee of {won['money']['fee']} is kept by the provider")


def _picture() -> bytes:
    """A PNG image of one yellow pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)

    head = chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\2\0\0\0")
    pixel = chunk(b"IDAT", zlib.compress(b"\0\xff\xe0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + pixel + chunk(b"IEND", b"")
