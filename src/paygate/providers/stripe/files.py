"""Stripe's files: evidence is uploaded to a host of its own, and named by its id afterwards.

(https://docs.stripe.com/file-upload)
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from paygate.domain.disputes.outcome import FileOutcome, FileUploaded
from paygate.domain.payments.outcome import Unknown
from paygate.providers.dispute_orders import UploadOrder
from paygate.providers.stripe import dispute_rejections, fields, multipart
from paygate.providers.stripe.client import Reply, StripeWire
from paygate.providers.stripe.replies import replied

_FILES: Final = "/v1/files"
_PURPOSE: Final = "dispute_evidence"
_OK: Final = 200
_STRIPES_API, _STRIPES_FILES = "api.stripe.com", "https://files.stripe.com"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._ -]+")
_MAX_STEM: Final = 80
_ENDINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"application/pdf": ".pdf", "image/jpeg": ".jpg", "image/png": ".png"}
)


def base_of(api_base: str) -> str:
    """Where files go: Stripe has a host for them; whatever else stands for Stripe takes both."""
    return _STRIPES_FILES if urlsplit(api_base).hostname == _STRIPES_API else api_base


def wire_name(name: str, content_type: str) -> str:
    """The name that a file is sent by: plain, short, and with the ending of its content, because
    Stripe judges by that (a PNG that is named `receipt.PDF` would be refused).
    """
    ending = _ENDINGS.get(content_type, "")
    last = re.split(r"[/\\]", name)[-1]
    stem = _UNFIT.sub("_", last.rpartition(".")[0] or last).strip(" ._")
    return f"{stem[:_MAX_STEM] or 'evidence'}{ending}"


class StripeFiles:
    """Implements the uploads of `Provider`, over a wire to `base_of` the account's address."""

    def __init__(self, wire: StripeWire) -> None:
        self._wire = wire

    async def upload(self, order: UploadOrder, *, timeout_seconds: float) -> FileOutcome:
        assert order.content_type in _ENDINGS, "a type that evidence may have"
        name = wire_name(order.name, order.content_type)
        fact = await self._wire.upload(
            _FILES,
            multipart.encode(
                {"purpose": _PURPOSE}, "file", name, order.content_type, order.content
            ),
            idempotency_key=order.key,
            timeout_seconds=timeout_seconds,
        )
        reply = replied(fact)
        if not isinstance(reply, Reply):
            return reply
        if reply.status != _OK:
            refused = dispute_rejections.of_file(reply.status, reply.body, (name, order.name))
            ours = dispute_rejections.speaks_of_its_call_alone(refused)
            if reply.after_silence and ours:
                return Unknown("an earlier call of this upload may have reached the provider")
            return refused
        reference = fields.identifier(reply.body.get("id"))
        if reply.body.get("object") != "file" or reference is None:
            return Unknown("the answer is not a file")
        if reply.body.get("purpose") != _PURPOSE:
            return Unknown("the provider answered with another file")
        return FileUploaded(reference)
