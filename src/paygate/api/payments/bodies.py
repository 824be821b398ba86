"""What callers write to `/payment-intents`, and what flows are given of it."""

from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Literal, assert_never

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.body_faults import NOT_BLANK
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.payment_intent import CaptureMethod, PaymentMethodType
from paygate.domain.payments.payment_method import (
    CardToken,
    DirectDebit,
    Instrument,
    Mandate,
    PushTransfer,
)
from paygate.domain.payments.return_url import MAX_LENGTH
from paygate.flows.payments.confirm import Confirmation
from paygate.flows.payments.create import NewPaymentIntent

# In every pattern: `$` alone lets a line end pass behind the last character.
Token = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,255}$(?!\n)")]
"""The provider's; a number of a card or an account is refused before it comes here."""
Reference = Annotated[str, Meta(min_length=1, max_length=200)]
# Stripe's rule (payments/account/statement-descriptors): 5 to 22 characters, one of them a
# letter; the characters that it forbids are looked for by the flow.
StatementDescriptor = Annotated[
    str, Meta(min_length=5, max_length=22, pattern=r"^(?=.*[A-Za-z])[ -~]*$(?!\n)")
]
# It comes back in a header, which carries printable ASCII and trims the spaces around.
SessionId = Annotated[str, Meta(min_length=16, max_length=200, pattern=r"^[!-~][ -~]*[!-~]$(?!\n)")]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=40)]
MetadataValue = Annotated[str, Meta(max_length=500)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=50)]
PaymentMethodTypes = Annotated[tuple[PaymentMethodType, ...], Meta(min_length=1, max_length=2)]


class CustomerDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`id` names a known customer, whose details are brought up to date; without it a new one."""

    id: Annotated[
        Annotated[str, Meta(max_length=64)] | None,
        about("A known customer; left out, a new one is made.", "cus_01JD8Z3K5V7Q9R1T3W5Y7A9C1E"),
    ] = None
    email: Annotated[
        Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$(?!\n)")] | None,
        about("Where the payer is written to.", "ana@example.com"),
    ] = None
    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        about("The payer's full name.", "Ana Lima"),
    ] = None


class CreatePaymentIntent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents`."""

    amount: Annotated[
        int, about("In the currency's smallest unit: 19.99 EUR is 1999, 500 JPY is 500.", 1999)
    ]
    currency: Annotated[str, about("ISO 4217, three letters of either case.", "eur")]
    capture_method: Annotated[
        CaptureMethod,
        about("`manual` holds a card's money until it is captured.", CaptureMethod.AUTOMATIC),
    ] = CaptureMethod.AUTOMATIC
    payment_method_types: Annotated[
        PaymentMethodTypes, about("What it may be paid with.", ["card", "bank_transfer"])
    ] = (PaymentMethodType.CARD,)
    reference: Annotated[
        Reference | None, about("Your own name for it, an order number.", "order-1042")
    ] = None
    unique_reference: Annotated[
        bool,
        about(
            "True: refused with `reference_in_use` while another intent of the same `reference` is"
            " paid or can still be paid.",
            True,
        ),
    ] = False
    description: Annotated[
        Annotated[str, Meta(min_length=1, max_length=500)] | None,
        about("For people; the provider is told it too.", "Two mugs, blue"),
    ] = None
    statement_descriptor: Annotated[
        StatementDescriptor | None,
        about("What the payer's bank statement shows. None of < > \\ ' \" *.", "SHOP 1042"),
    ] = None
    metadata: Annotated[
        Metadata, about("Yours to fill, at most 50 pairs of text.", {"cart": "c-77"})
    ] = msgspec.field(default_factory=dict)
    customer: Annotated[
        CustomerDetails | None, about("Who pays.", {"email": "ana@example.com"})
    ] = None
    session_id: Annotated[
        SessionId | None,
        about("Binds the client secret to the payer's session.", "9f2c4e6a8b0d1f3e5a7c"),
    ] = None
    payment_method: Annotated[
        "Method | None",
        about(
            "Attached at once; confirm may leave it out then.",
            {"type": "card", "token": "pm_card_visa"},
        ),
    ] = None

    def value(self) -> NewPaymentIntent:
        """The same fields, as the flow takes them.

        Raises:
            Refusal: a part of the payment method is missing, or belongs to another one.
        """
        new = msgspec.convert(self, NewPaymentIntent, from_attributes=True)
        return msgspec.structs.replace(new, instrument=chosen(self.payment_method))


class CardMethod(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="card", tag_field="type"
):
    """A card as the provider's token; a number has no place here."""

    token: Annotated[Token, about("The provider's, from its own form.", "pm_card_visa")]


class MandateDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the payer agreed to be debited, as the merchant's page saw it."""

    accepted_at: Annotated[
        Annotated[datetime, Meta(tz=True)],
        about("When the payer agreed: ISO 8601 with an offset.", "2026-11-29T09:30:00Z"),
    ]
    ip_address: Annotated[
        Annotated[str, Meta(max_length=45)], about("The payer's, IPv4 or IPv6.", "203.0.113.9")
    ]
    user_agent: Annotated[
        Annotated[str, Meta(pattern=r"^[ -~]{1,500}$(?!\n)")],
        about("Of the payer's browser, as it sent it.", "Mozilla/5.0 (X11; Linux x86_64)"),
    ]


class BankTransferMethod(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="bank_transfer",
    tag_field="type",
):
    """`push`: the payer sends money, `country` says to an account where. `debit`: we take it, with
    the provider's `token` of the account and the payer's `mandate`.
    """

    flow: Annotated[
        Literal["push", "debit"], about("Who moves the money: the payer, or we.", "push")
    ]
    country: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)")] | None,
        about("Of a push in EUR: where the account is that it goes to.", "DE"),
    ] = None
    token: Annotated[
        Token | None, about("Of a debit: the provider's, for the account.", "pm_1QX2sepa")
    ] = None
    mandate: Annotated[
        MandateDetails | None,
        about(
            "Of a debit: how the payer agreed.",
            {
                "accepted_at": "2026-11-29T09:30:00Z",
                "ip_address": "203.0.113.9",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
            },
        ),
    ] = None


Method = CardMethod | BankTransferMethod


class ConfirmPaymentIntent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents/{id}/confirm`. A card needs a `return_url`; without a
    `payment_method` the one that is attached is paid with.
    """

    payment_method: Annotated[
        Method | None, about("What is paid with.", {"type": "card", "token": "pm_card_visa"})
    ] = None
    return_url: Annotated[
        Annotated[str, Meta(max_length=MAX_LENGTH, pattern=r"^https?://[!-~]+$(?!\n)")] | None,
        about(
            "Your page that the payer comes back to from a challenge; with status and id added.",
            "https://shop.example/orders/1042",
        ),
    ] = None
    amount: Annotated[
        int | None, about("What you expect to be charged; another amount is refused.", 1999)
    ] = None
    currency: Annotated[
        str | None, about("What you expect to be charged in; another one is refused.", "eur")
    ] = None

    def value(self) -> Confirmation:
        """What the flow takes.

        Raises:
            Refusal: a part of the payment method is missing, or belongs to another one.
        """
        return Confirmation(
            instrument=chosen(self.payment_method),
            return_url=self.return_url,
            amount=self.amount,
            currency=self.currency,
        )


class AttachPaymentMethod(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents/{id}/payment-method`: null detaches."""

    payment_method: Annotated[
        Method | None, about("What is to be paid with.", {"type": "card", "token": "pm_card_visa"})
    ]


class CapturePaymentIntent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents/{id}/capture`; without an amount all of the hold."""

    amount: Annotated[
        int | None,
        about("In the smallest unit, up to what is held; the rest is released.", 1500),
    ] = None


class CancelPaymentIntent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /payment-intents/{id}/cancel`."""

    reason: Annotated[
        Annotated[str, Meta(pattern=NOT_BLANK, max_length=200)] | None,
        about("For people: the intent keeps it.", "out of stock"),
    ] = None


def chosen(method: Method | None) -> Instrument | None:
    """What is paid with, or None where nothing is named. Raises as `instrument_of` does."""
    return None if method is None else instrument_of(method)


def instrument_of(method: Method) -> Instrument:
    """What is paid with, as the flows know it.

    Raises:
        Refusal: a part is missing, makes no sense or belongs to another method.
    """
    match method:
        case CardMethod(token=token):
            return CardToken(token)
        case BankTransferMethod(flow="push"):
            for name in ("token", "mandate"):
                if getattr(method, name) is not None:
                    raise _refused(f"a push has no {name}", name)
            return PushTransfer(method.country)
        case BankTransferMethod():
            return _debit(method)
        case _:
            assert_never(method)


def _debit(method: BankTransferMethod) -> DirectDebit:
    if method.country is not None:
        raise _refused("a debit has no country: the account's token has it", "country")
    if method.token is None:
        raise _refused("a debit needs its token", "token", ErrorCode.PARAMETER_MISSING)
    if method.mandate is None:
        raise _refused("a debit needs its mandate", "mandate", ErrorCode.PARAMETER_MISSING)
    return DirectDebit(method.token, _mandate(method.mandate))


def _mandate(given: MandateDetails) -> Mandate:
    try:
        address = ip_address(given.ip_address)
    except ValueError:
        address = None
    # A zone ("%eth0") is any text, and means something on the payer's own network alone.
    if address is None or "%" in given.ip_address:
        raise _refused("ip_address is no IP address", "mandate.ip_address")
    return Mandate(given.accepted_at, str(address), given.user_agent)


def _refused(message: str, name: str, code: ErrorCode = ErrorCode.PARAMETER_INVALID) -> Refusal:
    return Refusal(code, message, param=f"payment_method.{name}")
