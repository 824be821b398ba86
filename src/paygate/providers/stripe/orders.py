"""Orders in Stripe's words: the parameters of each call; pure.

They are made of the order alone and in a fixed order, because Stripe refuses a key's second use
with others.
"""

from typing import Any

from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import CardToken, DirectDebit, PushTransfer
from paygate.providers.contract import CaptureOrder, ConfirmOrder, CustomerOrder, RefundOrder
from paygate.providers.dispute_orders import EvidenceOrder
from paygate.providers.stripe import instruments, money


def confirm(order: ConfirmOrder, installation: str) -> dict[str, Any]:
    """`automatic`, not today's default `automatic_async`: it captures before it answers, so that
    `succeeded` means that the money is taken; and a default is Stripe's to change.
    The payer is there (no `off_session`), so a challenge is possible and needs `return_url`.
    """
    manual = order.capture_method is CaptureMethod.MANUAL
    pushed = isinstance(order.instrument, PushTransfer)
    assert not manual or isinstance(order.instrument, CardToken), "only a card's money can be held"
    assert order.customer is not None or not pushed, "a transfer goes to the account of a customer"
    sent: dict[str, Any] = {
        "amount": money.to_provider(order.amount, order.currency),
        "currency": order.currency,
        "confirm": True,
        "capture_method": "manual" if manual else "automatic",
        **instruments.parameters(order.instrument, order.currency),
        "metadata": {
            "paygate_installation": installation,
            "paygate_merchant": order.merchant,
            "paygate_intent": order.intent,
            "paygate_attempt": order.attempt,
        },
        "expand": ["latest_charge"],
    }
    given = {
        "return_url": order.return_url,
        "description": order.description,
        **_descriptor(order),
        "customer": order.customer,
    }
    return sent | {key: value for key, value in given.items() if value is not None}


def _descriptor(order: ConfirmOrder) -> dict[str, str | None]:
    """A card's own text goes into the suffix, since Stripe refuses `statement_descriptor` for
    cards; it is the other way round for a debit. Who pushes a transfer writes its text.
    """
    match order.instrument:
        case CardToken():
            return {"statement_descriptor_suffix": order.statement_descriptor}
        case DirectDebit():
            return {"statement_descriptor": order.statement_descriptor}
        case PushTransfer():
            return {}


def capture(order: CaptureOrder) -> dict[str, Any]:
    return {
        "amount_to_capture": money.to_provider(order.amount, order.currency),
        "expand": ["latest_charge"],
    }


def refund(order: RefundOrder, installation: str) -> dict[str, Any]:
    """The amount is always there: what is left at Stripe may be more than the merchant means."""
    sent: dict[str, Any] = {
        "payment_intent": order.payment_reference,
        "amount": money.to_provider(order.amount, order.currency),
        "metadata": {
            "paygate_installation": installation,
            "paygate_merchant": order.merchant,
            "paygate_refund": order.refund,
        },
    }
    return sent if order.reason is None else {**sent, "reason": order.reason.value}


def evidence(order: EvidenceOrder) -> dict[str, Any]:
    """`submit` is always said: its default would submit what was meant to be put down.

    A field is a text or a file's id, whichever it was ordered by; all in the order of their names.
    """
    assert not order.texts.keys() & order.files.keys(), "a field is a text or a file"
    given: dict[str, Any] = dict(sorted({**order.texts, **order.files}.items()))
    if order.fees_acknowledged:
        given["enhanced_evidence"] = {
            f"{network.value}_compliance": {"fee_acknowledged": True}
            for network in sorted(set(order.fees_acknowledged))
        }
    return {"evidence": given, "submit": True, "expand": ["charge"]}


def customer(order: CustomerOrder, installation: str) -> dict[str, Any]:
    given = {"email": order.email, "name": order.name}
    return {
        **{key: value for key, value in given.items() if value is not None},
        "metadata": {
            "paygate_installation": installation,
            "paygate_merchant": order.merchant,
            "paygate_customer": order.customer,
        },
    }
