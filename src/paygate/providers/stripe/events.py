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
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from paygate.crypto.secret import Secret
from paygate.domain.payments.outcome import Unknown
from paygate.providers.contract import Notice, SignatureError
from paygate.providers.stripe import (
    charges,
    dispute_answers,
    fields,
    fraud_warnings,
    refund_answers,
    translate,
)
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
_CREATED: Final = "payment_intent.created"
"""It shows the payment before its confirm was tried, and so says nothing."""
_MONEY_LEFT: Final = "cash_balance.funds_available"
"""Sent when something is left after transfers were matched with the payments that wait for them."""
_BALANCE: Final = "customer_cash_balance_transaction."
_PAYMENTS: Final = "payment_intent."
_CHARGES: Final = "charge."
_REFUNDS: Final = ("charge.refund.", "refund.")
_RUNNING_TOTAL: Final = "charge.refunded"
"""It tells how much was given back altogether, which is nobody's single refund."""
_DISPUTES: Final = "charge.dispute."
_OF_A_PAYMENT: Final = (_DISPUTES, "radar.early_fraud_warning.")
"""They name the payment that they are about."""
_PAYOUTS: Final = "payout."
_BESIDE_PAYMENTS: Final = (_MONEY_LEFT, _PAYOUTS, "mandate.")
"""What these tell of is no payment's; upon mandates nothing here acts."""

ENABLED_EVENTS: Final = (
    _MONEY_LEFT,
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "mandate.updated",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "payout.canceled",
    "payout.created",
    "payout.failed",
    "payout.paid",
    "payout.reconciliation_completed",
    "payout.updated",
    "radar.early_fraud_warning.created",
    "radar.early_fraud_warning.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
)
"""What an endpoint should subscribe to. Charges are understood too; but each would cost a delivery,
and tell nothing that its payment's own events do not.
"""


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
    if event["object"] == _THIN:
        return Notice(
            provider_reference=reference, type=kind, created_at=created_at, livemode=livemode
        )
    tells = _notice(kind, event, livemode=livemode, created_at=created_at)
    return Notice(
        provider_reference=reference,
        type=kind,
        created_at=created_at,
        livemode=livemode,
        of_another_account=event.get("account") is not None,
        **tells,
    )


def _notice(
    kind: str, event: Mapping[str, Any], *, livemode: bool, created_at: datetime | None
) -> dict[str, Any]:
    """What an event says, by its type and its object; of a type that tells nothing, nothing.

    Raises:
        ValueError: what orders what it says is missing.
    """
    body = fields.mapping(event.get("data"), "object")
    if created_at is None and kind != _CREATED and kind.startswith((_MONEY_LEFT, _PAYMENTS)):
        raise ValueError("an event that we apply lacks its time")
    if kind.startswith(_BESIDE_PAYMENTS):
        return _of_the_account(kind, body)
    if kind.startswith(_REFUNDS):
        refund = refund_answers.refund(body, as_of=created_at)
        exact = event.get("api_version") == translate.API_VERSION and created_at is not None
        return {"refund": refund, "exact": exact and not isinstance(refund.outcome, Unknown)}
    if kind.startswith(_OF_A_PAYMENT):
        about = charges.of_another(body, as_of=created_at)
        told = _of_dispute(kind, event, body, livemode=livemode, created_at=created_at)
        return {"answer": about, **told}
    if kind.startswith(_BALANCE):
        return _of_balance(body, created_at)
    if kind in {_CREATED, _RUNNING_TOTAL} or not kind.startswith((_PAYMENTS, _CHARGES)):
        return {}
    exact = event.get("api_version") == translate.API_VERSION
    if kind.startswith(_CHARGES):
        answer = charges.of_charge(body, as_of=created_at)
        return {"answer": answer, "exact": exact, "of_a_part": True}
    answer = translate.payment(body, livemode=livemode, as_of=created_at)
    return {"answer": answer, "exact": exact and not isinstance(answer.outcome, Unknown)}


def _of_the_account(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What is no payment's: money that came to lie somewhere, a payout, what nobody acts upon."""
    if kind == _MONEY_LEFT:
        return {"money_left_with": fields.identifier(body.get("customer"))}
    if kind.startswith(_PAYOUTS):
        return {"payout": fields.identifier(body.get("id"))}
    return {"handled": False}


def _of_dispute(
    kind: str,
    event: Mapping[str, Any],
    body: Mapping[str, Any],
    *,
    livemode: bool,
    created_at: datetime | None,
) -> dict[str, Any]:
    """A dispute, or a warning of one. Where it does not name its payment, its charge will."""
    exact = event.get("api_version") == translate.API_VERSION and created_at is not None
    if kind.startswith(_DISPUTES):
        dispute = dispute_answers.dispute(body, livemode=livemode, as_of=created_at)
        whole = dispute.payment_reference is not None and not isinstance(dispute.outcome, Unknown)
        return {"dispute": dispute, "exact": exact and whole}
    warned = fraud_warnings.warning(body, livemode=livemode, as_of=created_at)
    return {} if isinstance(warned, Unknown) else {"fraud_warning": warned, "exact": exact}


def _is_acted_upon(kind: str) -> bool:
    """Whether something is made of events of a type, by how one that says nothing more is read."""
    try:
        told = _notice(kind, {}, livemode=False, created_at=datetime.fromtimestamp(0, UTC))
    except ValueError:
        return True  # what is looked for in it is needed
    return bool(told.get("handled", True))


def _of_balance(body: Mapping[str, Any], created_at: datetime | None) -> dict[str, Any]:
    """A movement on a customer's balance: of one with a payment, the payment tells what it comes
    to. What only comes to lie there is told of by an event of its own.
    """
    for way in ("applied_to_payment", "unapplied_from_payment"):
        if moved := fields.mapping(body, way):
            return {"answer": charges.of_another(moved, as_of=created_at), "exact": False}
    return {"handled": False}


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


ACTED_UPON: Final = tuple(
    kind for kind in (*ENABLED_EVENTS, "charge.refund.updated") if _is_acted_upon(kind)
)
"""The types of which something is made. `charge.refund.updated` is subscribed to by nobody, and
sent to endpoints that want everything.
"""
