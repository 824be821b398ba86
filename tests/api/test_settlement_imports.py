"""Settlement reports over HTTP: taken in as they come, read by the worker, refused clearly."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.shops import Shop, open_shop
from tests.gateway import Gateway, Response, until

HEADER = "id,batch,kind,currency,amount,day,note\n"
MAPPING = {
    "reference": "id", "payout": "batch", "category": "kind", "currency": "currency",
    "gross": "amount", "available_on": "day",
}  # fmt: skip
PATH = "/settlements/import"


def generic(batch: str, *amounts: str) -> bytes:
    """A report of one payout of fees, with its own row; the amounts are in euros."""
    rows = [f"{batch}_{n},{batch},fee,EUR,{each},2026-01-05,x\n" for n, each in enumerate(amounts)]
    total = sum(round(100 * float(each)) for each in amounts)
    rows.append(f"{batch}_own,{batch},payout,EUR,{-total / 100:.2f},2026-01-05,x\n")
    return (HEADER + "".join(rows)).encode()


def form(parts: Mapping[str, bytes | None]) -> tuple[bytes, dict[str, str]]:
    """Parts as a form, in their order; None leaves one out."""
    boundary = uuid.uuid4().hex
    raw = b""
    for name, content in parts.items():
        if content is not None:
            file = '; filename="report.csv"' if name == "file" else ""
            head = f'Content-Disposition: form-data; name="{name}"{file}'
            raw += f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    raw += f"--{boundary}--\r\n".encode()
    return raw, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


async def send(gateway: Gateway, parts: Mapping[str, bytes | None], **more: Any) -> Response:
    raw, headers = form(parts)
    headers |= more.pop("headers", {})
    return await gateway.call("POST", PATH, raw=raw, headers=headers, **more)


def parts(file: bytes | None, **changes: bytes | None) -> dict[str, bytes | None]:
    known = {"format": b"generic", "mapping": json.dumps(MAPPING).encode(), "file": file}
    return known | changes


async def ended(gateway: Gateway, import_id: str) -> dict[str, Any]:
    """The import, once the worker has read it."""

    async def read() -> dict[str, Any] | None:
        shown = await gateway.call("GET", f"/settlements/imports/{import_id}")
        assert shown.status == 200, shown
        return shown.json if shown.json["status"] != "running" else None

    found: dict[str, Any] = await until(read, seconds=120)
    return found


async def test_a_report_is_uploaded_read_and_settled(gateway: Gateway) -> None:
    batch = f"up_{uuid.uuid4().hex}"
    content = generic(batch, "-1.00", "-2.50") + b"bad,,fee,EUR,1,2026-01-05,x\n"
    key = {"Idempotency-Key": uuid.uuid4().hex}
    sent = await send(gateway, parts(content), headers=key)
    assert sent.status == 202, sent
    assert (sent.json["object"], sent.json["status"]) == ("settlement_import", "running")
    assert (await send(gateway, parts(content), headers=key)).body == sent.body
    done = await ended(gateway, sent.json["id"])
    assert (done["status"], done["lines_read"], done["lines_new"]) == ("completed", 4, 3)
    assert done["refused"] == [{"line": 5, "message": "payout is empty", "code": "line_unreadable"}]
    (settlement,) = done["settlements"]
    shown = (await gateway.call("GET", f"/settlements/{settlement}")).json
    assert (shown["source"], shown["amount"], shown["residual"]) == ("report", -350, 0)
    assert (shown["matching"], shown["refused_lines"]) == ("discrepant", 1)
    # Brought again, it is the same import; the file itself is gone.
    again = await send(gateway, parts(content))
    assert (again.status, again.json["id"]) == (202, done["id"])
    # Mended, with the file before what says how to read it.
    said = parts(None)
    mended = {
        "file": generic(batch, "-1.00", "-2.50"),
        "format": said["format"],
        "mapping": said["mapping"],
    }
    last = await ended(gateway, (await send(gateway, mended)).json["id"])
    assert (last["lines_read"], last["lines_new"], last["refused_count"]) == (3, 0, 0)
    shown = (await gateway.call("GET", f"/settlements/{settlement}")).json
    assert (shown["matching"], shown["closed_at"] is None) == ("balanced", False)


GOOD = generic("refused", "-1.00")


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (parts(None), "parameter_missing", "file"),
        (parts(GOOD, format=None), "parameter_missing", "format"),
        (parts(GOOD, format=b"pdf"), "parameter_invalid", "format"),
        (parts(GOOD, mapping=None), "parameter_invalid", "mapping"),
        (parts(GOOD, mapping=b"[1]"), "parameter_invalid", "mapping"),
        (parts(GOOD, mapping=b'{"reference": "\xff"}'), "parameter_invalid", "mapping"),
        (parts(GOOD, mapping=b'{"reference": "id"}'), "parameter_invalid", "mapping"),
        (parts(GOOD, format=b"stripe_itemized"), "parameter_invalid", "mapping"),
        (parts(GOOD, format=b"stripe_itemized", mapping=None), "report_unreadable", "file"),
        (parts(HEADER.encode()), "report_unreadable", "file"),
        (parts(b""), "report_unreadable", "file"),
        (parts(b"x" * 200_000), "report_unreadable", "file"),
        (parts(GOOD, mapping=b"{" + b" " * 70_000 + b"}"), "body_too_large", "mapping"),
        ({"other": b"1", **parts(GOOD)}, "parameter_unknown", "other"),
        ({"file": b"a,b\n" * 1_200_000}, "parameter_missing", "format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_read_is_refused_and_nothing_is_kept(
    gateway: Gateway, sent: Mapping[str, bytes | None], code: str, param: str
) -> None:
    refused = await send(gateway, sent)
    assert refused.json["error"]["code"] == code, refused
    assert refused.json["error"]["param"] == param


async def test_what_was_found_is_listed(gateway: Gateway) -> None:
    refused = await send(gateway, parts(b"id,batch,what\n1,2,3\n"))
    assert (
        "Missing: kind, currency, amount, day. Found: id, batch, what"
        in refused.json["error"]["message"]
    )


async def test_json_is_no_report(gateway: Gateway) -> None:
    refused = await gateway.call("POST", PATH, {})
    assert (refused.status, refused.code) == (415, "content_type_unsupported")


async def test_other_merchants_bring_and_find_none(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    raw, headers = form(parts(GOOD))
    refused = await shop.call("POST", PATH, raw=raw, headers=headers)
    assert (refused.status, refused.code) == (404, "resource_missing")
    done = await send(gateway, parts(generic(f"up_{uuid.uuid4().hex}", "-1.00")))
    for path in (done.json["id"], "si_nope", "si_" + "0" * 26):
        shown = await shop.call("GET", f"/settlements/imports/{path}")
        assert (shown.status, shown.code) == (404, "resource_missing")
    assert (await gateway.call("GET", "/settlements/imports/si_nope")).status == 404
    await ended(gateway, done.json["id"])


async def withdraw(caller: Gateway | Shop, import_id: str, **more: Any) -> Response:
    return await caller.call("POST", f"/settlements/imports/{import_id}/withdraw", {}, **more)


async def test_a_report_is_taken_back_and_brought_once_more(gateway: Gateway) -> None:
    batch = f"up_{uuid.uuid4().hex}"
    content = generic(batch, "-1.00") + b"bad,,fee,EUR,1,2026-01-05,x\n"
    done = await ended(gateway, (await send(gateway, parts(content))).json["id"])
    (settlement,) = done["settlements"]
    assert done["withdrawn_at"] is None
    shop = await open_shop(gateway)
    refused = await withdraw(shop, done["id"])
    assert (refused.status, refused.code) == (404, "resource_missing")
    key = {"Idempotency-Key": uuid.uuid4().hex}
    taken_back = await withdraw(gateway, done["id"], headers=key)
    assert taken_back.status == 200, taken_back
    assert taken_back.json["withdrawn_at"] is not None
    assert (await withdraw(gateway, done["id"], headers=key)).body == taken_back.body
    # Twice it is what it was the first time.
    assert (await withdraw(gateway, done["id"])).json == taken_back.json
    shown = (await gateway.call("GET", f"/settlements/imports/{done['id']}")).json
    assert shown == taken_back.json
    of = (await gateway.call("GET", f"/settlements/{settlement}")).json
    assert (of["amount"], of["refused_lines"], of["closed_at"]) == (None, 0, None)
    lines = (await gateway.call("GET", f"/settlements/{settlement}/lines")).json
    assert lines["data"] == []
    again = await ended(gateway, (await send(gateway, parts(generic(batch, "-1.00")))).json["id"])
    assert (again["status"], again["lines_new"]) == ("completed", 2)
    of = (await gateway.call("GET", f"/settlements/{settlement}")).json
    assert (of["matching"], of["closed_at"] is None) == ("balanced", False)
    closed = await withdraw(gateway, again["id"])
    assert (closed.status, closed.code) == (409, "state_conflict")


async def test_what_nobody_has_brought_is_not_taken_back(gateway: Gateway) -> None:
    for unknown in ("si_nope", "si_" + "0" * 26):
        missing = await withdraw(gateway, unknown)
        assert (missing.status, missing.code) == (404, "resource_missing")
    path = f"/settlements/imports/si_{'0' * 26}/withdraw"
    told = await gateway.call("POST", path, {"reason": "wrong mapping"})
    assert (told.status, told.code) == (400, "parameter_unknown")
