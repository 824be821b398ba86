"""Stripe's events: is the delivery Stripe's, and what does it say; pure.

The check in Stripe's own client (`stripe.WebhookSignature`) would not do: it refuses old
timestamps but takes future ones, so that a delivery signed ahead of time could be replayed when
it suits; it reads the clock itself; it takes one secret, while a rolled one overlaps for a day; it
decodes the body first; and its exceptions carry header and body. The scheme is
https://docs.stripe.com/webhooks#verify-manually. Nothing here may quote a header, body or secret.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from paygate.crypto.secret import Secret
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.providers.contract import Notice, SignatureError
from paygate.providers.stripe import fields, refund_answers, translate
from paygate.providers.stripe.decoding import decoded

HEADER: Final = "stripe-signature"

_MAX_HEADER_CHARACTERS: Final = 4_096
"""A timestamp and some fifty signatures; Stripe sends one for each secret in use."""
_MAX_SIGNATURES: Final = 16
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_MAX_TYPE_CHARACTERS: Final = 255
_WITH_ITS_OBJECT: Final = "event"
_THIN: Final = "v2.core.event"
"""An event that only names what it is about; none of those tells of a payment."""
_OF_PAYMENTS: Final = "payment_intent."
_OF_REFUNDS: Final = ("refund.", "charge.refund.")
_MONEY_LEFT: Final = "cash_balance.funds_available"
"""Sent when something is left after transfers were matched with the payments that wait for them."""

ENABLED_EVENTS: Final = (
    _MONEY_LEFT,
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "refund.created",
    "refund.failed",
    "refund.updated",
)
"""What an endpoint should subscribe to: each other event costs a delivery and tells nothing."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[Secret],
    *,
    now: datetime,
    tolerance_seconds: int,
) -> None:
    """Prove that Stripe signed these bytes, within the tolerance of `now` either way.

    Raises:
        SignatureError: it is not proven.
    """
    header = headers.get(HEADER)
    if header is None:
        raise SignatureError("the signature is missing")
    timestamp, signatures = _parts(header)
    if abs(now.timestamp() - int(timestamp)) > tolerance_seconds:
        raise SignatureError("the signature is out of time")
    signed = timestamp.encode() + b"." + body
    matches = False
    for secret in secrets:
        # The whole secret is the key, `whsec_` included; all pairs are compared, none early.
        ours = hmac.new(secret.reveal().encode(), signed, sha256).hexdigest()
        for theirs in signatures:
            matches |= hmac.compare_digest(ours, theirs)
    if not matches:
        raise SignatureError("the signature is wrong")


def read(body: bytes) -> Notice:
    """Read an event whose signature held, thin ones and those of unheard-of types too.

    Raises:
        ValueError: it is not an event as Stripe shapes them.
    """
    try:
        event = decoded(body)
    except ValueError:
        raise ValueError("the event is not JSON") from None
    if not isinstance(event, dict) or event.get("object") not in (_WITH_ITS_OBJECT, _THIN):
        raise ValueError("the body is not an event")
    reference = fields.identifier(event.get("id"))
    created_at = fields.moment(event.get("created"))
    kind, livemode = event.get("type"), event.get("livemode")
    if reference is None or not isinstance(livemode, bool):
        raise ValueError("the event lacks its id or mode")
    if not isinstance(kind, str) or not 0 < len(kind) <= _MAX_TYPE_CHARACTERS:
        raise ValueError("the event has no usable type")
    answer, left_with, data = None, None, event.get("data")
    if event["object"] == _WITH_ITS_OBJECT and kind.startswith((_MONEY_LEFT, _OF_PAYMENTS)):
        if created_at is None:
            raise ValueError("an event that we apply lacks its time")
        answer = _answer(kind, data, livemode=livemode, created_at=created_at)
        left_with = fields.mapping(data, "object").get("customer") if kind == _MONEY_LEFT else None
    return Notice(
        provider_reference=reference,
        type=kind,
        created_at=created_at,
        livemode=livemode,
        answer=answer,
        exact=event.get("api_version") == translate.API_VERSION
        and not (answer is not None and isinstance(answer.outcome, Unknown)),
        money_left_with=fields.identifier(left_with),
        refund=_refund(kind, data, created_at=created_at),
    )


def _answer(kind: str, data: object, *, livemode: bool, created_at: datetime) -> Answer | None:
    """What the event says of a payment.

    Charges, refunds and disputes have events of their own and say nothing final of the payment.
    `payment_intent.created` shows the payment before its confirm was tried, so it says nothing
    either; taken for an answer it would cost a look-up for each payment.
    """
    if not kind.startswith(_OF_PAYMENTS) or kind == "payment_intent.created":
        return None
    rendered = data.get("object") if isinstance(data, dict) else None
    return translate.payment(rendered, livemode=livemode, as_of=created_at)


def _refund(kind: str, data: object, *, created_at: datetime | None) -> RefundAnswer | None:
    """What the event says of a refund: the events of refunds themselves, and the old name of one.

    `charge.refunded` tells a running total, which is nobody's single refund: it is not read.
    """
    if not kind.startswith(_OF_REFUNDS) or not isinstance(data, dict):
        return None
    return refund_answers.refund(data.get("object"), as_of=created_at)


def _parts(header: str) -> tuple[str, list[str]]:
    """The one timestamp, and every v1 signature.

    Other schemes are not ours to judge (v0 is Stripe's test scheme); a part of no shape, or a
    second timestamp, spoils the whole.
    """
    if len(header) > _MAX_HEADER_CHARACTERS:
        raise SignatureError("the signature is too long")
    timestamps: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        scheme, equals, value = part.partition("=")
        if not scheme or not equals or not value:
            raise SignatureError("the signature is malformed")
        if scheme == "t":
            timestamps.append(value)
        elif scheme == "v1":
            signatures.append(value)
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]):
        raise SignatureError("the signature must have one timestamp")
    if not all(_SIGNATURE.fullmatch(signature) for signature in signatures):
        raise SignatureError("the signature is malformed")
    if not 0 < len(set(signatures)) == len(signatures) <= _MAX_SIGNATURES:
        raise SignatureError("the signature must have distinct v1 parts")
    return timestamps[0], signatures
