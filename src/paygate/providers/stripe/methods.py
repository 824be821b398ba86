"""What may be shown of how a payment is paid, read from a PaymentIntent; pure.

A charge, where the call expanded it, says most; events never do. A transfer that waits for its
money has no charge yet, and is known by what it was asked for.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from paygate.domain.payments.outcome import BankTransfer, Card, PaymentMethod
from paygate.providers.stripe.fields import code, mapping, text, whole
from paygate.providers.stripe.instruments import DEBITS, PUSH, RAILS

_LAST4: Final = re.compile(r"[0-9]{4}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


def payment_method(body: Mapping[str, Any]) -> PaymentMethod | None:
    charged = charged_with(body)
    seen = mapping(charged, "card") or mapping(mapping(body, "payment_method"), "card")
    if seen:
        return _card(seen)
    for kind in DEBITS.values():
        account = mapping(charged, kind) or mapping(mapping(body, "payment_method"), kind)
        if account:
            return BankTransfer("debit", country(account.get("country")), _last4(account))
    if body.get("payment_method_types") == [PUSH]:
        return BankTransfer("push", _asked_country(body))
    return None


def of_method(body: Mapping[str, Any]) -> PaymentMethod | None:
    """The same of a PaymentMethod that was asked for itself."""
    return payment_method({"payment_method": body})


def charged_with(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The payment method as charged: there when the call expanded `latest_charge`."""
    return mapping(mapping(body, "latest_charge"), "payment_method_details")


def country(value: object) -> str | None:
    return value if isinstance(value, str) and _COUNTRY.fullmatch(value) else None


def _asked_country(body: Mapping[str, Any]) -> str | None:
    options = mapping(mapping(body, "payment_method_options"), PUSH)
    transfer = mapping(options, "bank_transfer")
    asked = mapping(transfer, RAILS["eur"].kind)
    return country(asked.get("country"))


def _card(seen: Mapping[str, Any]) -> Card:
    return Card(
        brand=code(seen.get("brand")),
        last4=_last4(seen),
        exp_month=whole(seen.get("exp_month"), 1, 12),
        exp_year=whole(seen.get("exp_year"), 2000, 2200),
    )


def _last4(seen: Mapping[str, Any]) -> str | None:
    last4 = text(seen, "last4")
    return last4 if last4 and _LAST4.fullmatch(last4) else None
