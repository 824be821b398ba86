"""An answer held against its order; pure.

What Stripe answers is believed only as far as it agrees with what was asked: another amount,
currency, attempt or payment is `Unknown`, never `Approved`.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from paygate.domain.payments.outcome import (
    Answer,
    Approved,
    Cancelled,
    Outcome,
    PaymentMethod,
    Pending,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.domain.payments.payment_method import Tokened
from paygate.providers.contract import (
    CaptureOrder,
    ConfirmOrder,
    CustomerMade,
    CustomerOrder,
    MoneyLeft,
)
from paygate.providers.stripe import fields, methods
from paygate.providers.stripe.api_errors import UNUSABLE
from paygate.providers.stripe.money import NotRepresentable, from_provider

_MAX_UNITS: Final = 10**15
"""Beyond any balance; keeps a hostile number out of our arithmetic."""


def to_confirm(order: ConfirmOrder, installation: str, answer: Answer) -> Answer:
    """The answer, if it is of this order's payment; else `Unknown`."""
    if answer.provider_reference is None:
        return answer
    if (answer.attempt, answer.installation) != (order.attempt, installation):
        return Answer(Unknown("the provider answered with another payment"), as_of=answer.as_of)
    if (answer.amount, answer.currency) != (order.amount, order.currency):
        return _doubted(answer, "the provider's payment is of another amount")
    if isinstance(answer.outcome, Approved):
        return _approved(order, answer, answer.outcome)
    return answer


def _approved(order: ConfirmOrder, answer: Answer, approved: Approved) -> Answer:
    if approved.amount_received + approved.amount_capturable != order.amount:
        return _doubted(answer, "the provider approved another amount")
    if approved.captured is (order.capture_method is CaptureMethod.MANUAL):
        return _doubted(answer, "the provider captured otherwise than it was told")
    return answer


def of_payment(provider_reference: str, answer: Answer) -> Answer:
    """The answer, if it is of this payment or of none; else `Unknown`."""
    if answer.provider_reference in {None, provider_reference}:
        return answer
    return Answer(Unknown("the provider answered with another payment"), as_of=answer.as_of)


def to_capture(order: CaptureOrder, answer: Answer) -> Answer:
    """What an accepted capture says, or how a payment stands whose capture was refused for that."""
    answer = of_payment(order.provider_reference, answer)
    if answer.currency not in {None, order.currency}:
        return _doubted(answer, "the provider's payment is in another currency")
    match answer.outcome:
        case Approved(captured=True, amount_received=taken) if taken <= order.amount:
            return answer
        case Approved(captured=True):
            return _doubted(answer, "the provider took more than it was told")
        case Cancelled() | Pending() | Unknown():
            return answer
        case Approved():
            return _doubted(answer, "the provider still holds what it should have captured")
        case _:
            # Money is taken from a hold alone, and this payment has none.
            rejected: Outcome = Rejected("order_refused", "the payment holds no money to capture")
            return msgspec.structs.replace(answer, outcome=rejected)


def to_cancel(provider_reference: str, answer: Answer) -> Answer:
    """What an accepted cancel says."""
    answer = of_payment(provider_reference, answer)
    if isinstance(answer.outcome, Cancelled | Unknown):
        return answer
    return _doubted(answer, "the provider took the cancel, and the payment is not cancelled")


def to_payment_method(
    instrument: Tokened, kind: str, body: Mapping[str, Any], *, livemode: bool
) -> PaymentMethod | Rejected | Unknown:
    """What Stripe shows of the method behind a token, if a confirm of ours may name it."""
    named = fields.identifier(body.get("id"))
    if body.get("object") != "payment_method" or named is None:
        return Unknown("the answer is not a payment method")
    # A test token (`pm_card_visa`) is answered with a new method each time.
    if body.get("livemode") is not livemode or (livemode and named != instrument.token):
        return Unknown("the provider answered with another payment method")
    # A method of one of Stripe's customers is taken with that customer alone, and we name none.
    if body.get("type") != kind or body.get("customer") or body.get("customer_account"):
        return UNUSABLE
    return methods.of_method(body) or Unknown("the provider shows nothing of the payment method")


def to_make_customer(
    order: CustomerOrder, installation: str, body: Mapping[str, Any], *, livemode: bool
) -> CustomerMade | Unknown:
    """The customer that Stripe shows, if it is the one that was asked for."""
    reference, marks = fields.identifier(body.get("id")), fields.mapping(body, "metadata")
    ours = (marks.get("paygate_installation"), marks.get("paygate_customer"))
    if body.get("object") != "customer" or reference is None:
        return Unknown("the answer is not a customer")
    if body.get("livemode") is not livemode or ours != (installation, order.customer):
        return Unknown("the provider answered with another customer")
    return CustomerMade(reference)


def to_money_left(
    reference: str, balance: Mapping[str, Any], customer: Mapping[str, Any]
) -> MoneyLeft | Unknown:
    """What a cash balance and its customer say together."""
    if (balance.get("customer"), customer.get("id")) != (reference, reference):
        return Unknown("the provider answered with another customer")
    amounts: dict[str, int] = {}
    for currency, units in fields.mapping(balance, "available").items():
        known = fields.whole(units, 0, _MAX_UNITS)
        try:
            amounts[currency] = from_provider(known or 0, currency)
        except NotRepresentable:
            known = None
        if known is None:
            return Unknown("the customer's cash balance makes no sense")
    marks = fields.mapping(customer, "metadata")
    return MoneyLeft(
        amounts={currency: amount for currency, amount in amounts.items() if amount},
        customer=fields.text(marks, "paygate_customer"),
        merchant=fields.text(marks, "paygate_merchant"),
        installation=fields.text(marks, "paygate_installation"),
    )


def _doubted(answer: Answer, why: str) -> Answer:
    outcome: Outcome = Unknown(why)
    return msgspec.structs.replace(answer, outcome=outcome)
