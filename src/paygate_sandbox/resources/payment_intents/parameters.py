"""The parameters of every PaymentIntent call, as tables.

Every name of Stripe's description is here; what the sandbox does not act on is refused aloud.
"""

from typing import Any

from paygate_sandbox.protocol.lists import LIST_PARAMETERS
from paygate_sandbox.protocol.parameters import (
    Boolean,
    Hash,
    Integer,
    ListOf,
    Metadata,
    OneOf,
    Parameter,
    Parameters,
    Text,
    Unsupported,
    Url,
)
from paygate_sandbox.resources.currencies import Currency
from paygate_sandbox.resources.method_data import (
    BANK_OPTIONS,
    Address,
    MandateData,
    MethodData,
)
from paygate_sandbox.resources.method_types import METHOD_TYPES

_UNSUPPORTED = Unsupported()


class Shipping:
    """Where the goods go, told back whole: what was not given is null."""

    _given = Hash(
        {
            "address": Address(),
            "carrier": Text(unsettable=True),
            "name": Text(),
            "phone": Text(unsettable=True),
            "tracking_number": Text(unsettable=True),
        },
        required=("address", "name"),
    )

    def read(self, name: str, raw: Any) -> dict[str, Any] | None:
        if raw == "":
            return None
        given = self._given.read(name, raw)
        optional = {key: given.get(key) for key in ("carrier", "phone", "tracking_number")}
        return {"address": given["address"], "name": given["name"], **optional}


_CARD_OPTIONS: dict[str, Parameter] = {
    "request_three_d_secure": OneOf(("any", "automatic", "challenge")),
    **dict.fromkeys(
        (
            "capture_method",
            "cvc_token",
            "installments",
            "mandate_options",
            "moto",
            "network",
            "request_extended_authorization",
            "request_incremental_authorization",
            "request_multicapture",
            "request_overcapture",
            "require_cvc_recollection",
            "setup_future_usage",
            "statement_descriptor_suffix_kana",
            "statement_descriptor_suffix_kanji",
            "three_d_secure",
        ),
        _UNSUPPORTED,
    ),
}

# Create, update and confirm all take these.
_DESCRIPTION: dict[str, Parameter] = {
    "capture_method": OneOf(("automatic", "automatic_async", "manual")),
    "payment_method": Text(),
    "payment_method_data": MethodData(),
    "payment_method_options": Hash({"card": Hash(_CARD_OPTIONS), **BANK_OPTIONS}),
    "payment_method_types": ListOf(OneOf(METHOD_TYPES)),
    "receipt_email": Text(unsettable=True),
    "shipping": Shipping(),
    **dict.fromkeys(
        (
            "allowed_payment_method_types",
            "amount_details",
            "excluded_payment_method_types",
            "hooks",
            "payment_details",
            "setup_future_usage",
        ),
        _UNSUPPORTED,
    ),
}

# Create and update take these.
_TERMS: dict[str, Parameter] = {
    "amount": Integer(minimum=1),
    "currency": Currency(),
    "customer": Text(),
    "description": Text(1000, unsettable=True),
    "metadata": Metadata(unsettable=True),
    "statement_descriptor": Text(22, unsettable=True),
    "statement_descriptor_suffix": Text(22, unsettable=True),
    **dict.fromkeys(
        (
            "application_fee_amount",
            "customer_account",
            "payment_method_configuration",
            "transfer_data",
            "transfer_group",
        ),
        _UNSUPPORTED,
    ),
}

# Only meaningful for an attempt: on create they want confirm=true.
ATTEMPT: dict[str, Parameter] = {
    "error_on_requires_action": Boolean(),
    "mandate_data": MandateData(),
    "off_session": OneOf(("true", "false", "one_off", "recurring")),
    "return_url": Url(app_schemes=True),
    "use_stripe_sdk": Boolean(),
    **dict.fromkeys(("confirmation_token", "mandate", "radar_options"), _UNSUPPORTED),
}

CREATE = Parameters(
    {
        **_TERMS,
        **_DESCRIPTION,
        **ATTEMPT,
        "automatic_payment_methods": Hash(
            {"enabled": Boolean(), "allow_redirects": OneOf(("always", "never"))},
            required=("enabled",),
        ),
        "confirm": Boolean(),
        "confirmation_method": OneOf(("automatic", "manual")),
        "on_behalf_of": _UNSUPPORTED,
    },
    required=("amount", "currency"),
)
UPDATE = Parameters({**_TERMS, **_DESCRIPTION})
CONFIRM = Parameters(
    {
        **_DESCRIPTION,
        **ATTEMPT,
        "amount_to_confirm": _UNSUPPORTED,
        "client_secret": Text(),
    }
)
CAPTURE = Parameters(
    {
        "amount_to_capture": Integer(minimum=1),
        "final_capture": Boolean(),
        "metadata": Metadata(unsettable=True),
        "statement_descriptor": Text(22),
        "statement_descriptor_suffix": Text(22),
        **dict.fromkeys(
            (
                "amount_details",
                "application_fee_amount",
                "hooks",
                "payment_details",
                "transfer_data",
            ),
            _UNSUPPORTED,
        ),
    }
)
CANCEL = Parameters(
    {
        "cancellation_reason": OneOf(
            ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
        )
    }
)
RETRIEVE = Parameters({"client_secret": Text()})
LIST = Parameters({**LIST_PARAMETERS, "customer": Text(), "customer_account": _UNSUPPORTED})
