"""Files: what a merchant uploads, to name it as evidence later.

Their type is told by their content. It must never keep of a file more than what proves which it
was.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import OneOf, Parameters, Unsupported
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.store.objects import Filing, JsonObject, Record

_KIND: Final = "file"
_PURPOSES: Final = ("dispute_evidence",)
MOST_BYTES: Final = 5_000_000
# Evidence is kept for nine months.
_KEPT_SECONDS: Final = 9 * 30 * 86_400
_MOST_NAME: Final = 255
_MAGIC: Final = ((b"%PDF-", "pdf"), (b"\xff\xd8\xff", "jpg"), (b"\x89PNG\r\n\x1a\n", "png"))


@dataclass(frozen=True, slots=True)
class Upload:
    """The parameter `file`: a part of a form with a name and content."""

    def read(self, name: str, raw: Any) -> dict[str, Any]:
        if not isinstance(raw, dict) or not isinstance(raw.get("content"), bytes):
            raise StripeError("Invalid file: it was not sent as a part of a form", param=name)
        return raw


def create(call: Call) -> Record:
    books, upload = call.books, call.params["file"]
    content: bytes = upload["content"]
    kind = next((kind for magic, kind in _MAGIC if content.startswith(magic)), None)
    if not content:
        raise StripeError("The file is empty.", param="file")
    if len(content) > MOST_BYTES:
        raise StripeError("The file is larger than 5 MB.", param="file")
    if kind is None:
        raise StripeError(
            "The file is of a type that this purpose does not allow: pdf, jpg, png.", param="file"
        )
    file_id = books.new_id("file")
    body: JsonObject = {
        "id": file_id,
        "object": _KIND,
        "created": books.now,
        "expires_at": books.now + _KEPT_SECONDS,
        "filename": upload["filename"][:_MOST_NAME] or None,
        "links": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/file_links?file={file_id}",
        },
        "purpose": call.params["purpose"],
        "size": len(content),
        "title": None,
        "type": kind,
        "url": f"{books.parts.base_url}/v1/files/{file_id}/contents",
    }
    file = Record(body, {"sha256": hashlib.sha256(content).hexdigest()})
    books.insert(file, Filing(type=body["purpose"]))
    books.emit("file.created", file)
    return file


def retrieve(call: Call) -> Record:
    return call.load(_KIND)


def list_files(call: Call) -> Page:
    params, objects = call.params, call.books.objects
    asked = window(params, lambda cursor: objects.cursor(_KIND, cursor), _KIND)
    filters = {"type": params["purpose"]} if "purpose" in params else {}
    return Page(*trim(objects.page(_KIND, asked, filters), asked))


ENDPOINTS = (
    Endpoint("GET", "files/{}", _KIND, "retrieve", Parameters(), retrieve),
    Endpoint(
        "POST",
        "files",
        _KIND,
        "files",
        Parameters(
            {"file": Upload(), "file_link_data": Unsupported(), "purpose": OneOf(_PURPOSES)},
            required=("file", "purpose"),
        ),
        create,
        takes_files=True,
    ),
    Endpoint(
        "GET",
        "files",
        _KIND,
        "list",
        Parameters({**LIST_PARAMETERS, "purpose": OneOf((*_PURPOSES, "finance_report_run"))}),
        list_files,
        is_list=True,
    ),
)
