"""What a balance transaction of Stripe's is for, in our words; pure.

Its `reporting_category` is made for accounting, and tells the adjustments apart; its `type` says
what brought it. Both must be known here and agree, or a person looks at it. What is written in its
description decides nothing: the wording changes.
(https://docs.stripe.com/reports/balance-transaction-types,
https://docs.stripe.com/reports/reporting-categories)
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.settlements.outcome import LineCategory

_C = LineCategory
_ADJUSTMENT: Final = "adjustment"
"""The type of what has none of its own: the reporting category tells."""

_OF_TYPE: Final[Mapping[str, tuple[LineCategory, ...]]] = MappingProxyType(
    {
        _ADJUSTMENT: (_C.ADJUSTMENT, *_C),
        "charge": (_C.CHARGE,),
        "payment": (_C.CHARGE,),
        "payment_failure_refund": (_C.CHARGE_FAILURE,),
        "payment_reversal": (_C.CHARGE_FAILURE, _C.REFUND),
        "refund": (_C.REFUND, _C.PARTIAL_CAPTURE_REVERSAL),
        "payment_refund": (_C.REFUND, _C.PARTIAL_CAPTURE_REVERSAL, _C.REFUND_FAILURE),
        "refund_failure": (_C.REFUND_FAILURE,),
        "stripe_fee": (_C.FEE, _C.TAX),
        "stripe_fx_fee": (_C.FEE, _C.CONVERSION),
        "fee_credit_funding": (_C.FEE,),
        "tax_fee": (_C.TAX, _C.FEE),
        "tax_fund": (_C.TAX,),
        # Held back, and released.
        "reserve_transaction": (_C.RESERVE,),
        "reserved_funds": (_C.RESERVE,),
        "reserve_hold": (_C.RESERVE,),
        "reserve_release": (_C.RESERVE,),
        "payment_network_reserve_hold": (_C.RESERVE,),
        "payment_network_reserve_release": (_C.RESERVE,),
        "payout_minimum_balance_hold": (_C.RESERVE,),
        "payout_minimum_balance_release": (_C.RESERVE,),
        # Lent, and paid back.
        "advance": (_C.ADVANCE,),
        "advance_funding": (_C.ADVANCE,),
        "anticipation_repayment": (_C.ADVANCE,),
        "topup": (_C.TOPUP,),
        "topup_reversal": (_C.TOPUP,),
        # To and from other accounts at Stripe: connected ones, Treasury, whoever is paid from the
        # balance.
        "transfer": (_C.TRANSFER, _C.ADVANCE),
        "transfer_cancel": (_C.TRANSFER,),
        "transfer_failure": (_C.TRANSFER,),
        "transfer_refund": (_C.TRANSFER, _C.ADVANCE),
        "connect_collection_transfer": (_C.TRANSFER,),
        "application_fee": (_C.TRANSFER, _C.FEE),
        "application_fee_refund": (_C.TRANSFER, _C.FEE),
        "inbound_transfer": (_C.TRANSFER,),
        "inbound_transfer_reversal": (_C.TRANSFER,),
        "obligation_outbound": (_C.TRANSFER,),
        "obligation_reversal_inbound": (_C.TRANSFER,),
        "stripe_balance_payment_debit": (_C.TRANSFER,),
        "stripe_balance_payment_debit_reversal": (_C.TRANSFER,),
        # What the merchant spends from the balance, and money of payers that no payment waits for.
        "climate_order_purchase": (_C.ADJUSTMENT,),
        "climate_order_refund": (_C.ADJUSTMENT,),
        "contribution": (_C.ADJUSTMENT,),
        "issuing_authorization_hold": (_C.ADJUSTMENT,),
        "issuing_authorization_release": (_C.ADJUSTMENT,),
        "issuing_dispute": (_C.ADJUSTMENT,),
        "issuing_transaction": (_C.ADJUSTMENT,),
        "payment_unreconciled": (_C.ADJUSTMENT,),
        "payout": (_C.PAYOUT,),
        "payout_cancel": (_C.PAYOUT_FAILURE,),
        "payout_failure": (_C.PAYOUT_FAILURE,),
    }
)
"""What a type may stand for; the first is what it is where nothing else is said of it. Every type
of the API's description is here.
"""

_OF_REPORTING: Final[Mapping[str, LineCategory]] = MappingProxyType(
    {
        "charge": _C.CHARGE,
        "charge_failure": _C.CHARGE_FAILURE,
        "partial_capture_reversal": _C.PARTIAL_CAPTURE_REVERSAL,
        "refund": _C.REFUND,
        "refund_failure": _C.REFUND_FAILURE,
        "dispute": _C.DISPUTE,
        "dispute_reversal": _C.DISPUTE_REVERSAL,
        "fee": _C.FEE,
        "network_cost": _C.FEE,
        "tax": _C.TAX,
        "risk_reserved_funds": _C.RESERVE,
        "connect_reserved_funds": _C.RESERVE,
        "payment_network_reserved_funds": _C.RESERVE,
        "minimum_balance_hold": _C.RESERVE,
        "advance": _C.ADVANCE,
        "advance_funding": _C.ADVANCE,
        "anticipation_repayment": _C.ADVANCE,
        "financing_payout": _C.ADVANCE,
        "financing_payout_reversal": _C.ADVANCE,
        "financing_paydown": _C.ADVANCE,
        "financing_paydown_reversal": _C.ADVANCE,
        "topup": _C.TOPUP,
        "topup_reversal": _C.TOPUP,
        "transfer": _C.TRANSFER,
        "transfer_reversal": _C.TRANSFER,
        "connect_collection_transfer": _C.TRANSFER,
        "platform_earning": _C.TRANSFER,
        "platform_earning_refund": _C.TRANSFER,
        "obligation": _C.TRANSFER,
        "currency_conversion": _C.CONVERSION,
        "other_adjustment": _C.ADJUSTMENT,
        "unreconciled_customer_funds": _C.ADJUSTMENT,
        "climate_order_purchase": _C.ADJUSTMENT,
        "climate_order_refund": _C.ADJUSTMENT,
        "contribution": _C.ADJUSTMENT,
        "issuing_authorization_hold": _C.ADJUSTMENT,
        "issuing_authorization_release": _C.ADJUSTMENT,
        "issuing_dispute": _C.ADJUSTMENT,
        "issuing_transaction": _C.ADJUSTMENT,
        "payout": _C.PAYOUT,
        "payout_reversal": _C.PAYOUT_FAILURE,
    }
)
_NOTHING_SAID: Final = "none"


def of_row(kind: str | None, reporting: str | None) -> tuple[LineCategory, str]:
    """The category of a row by its type and reporting category, and Stripe's own word for it: where
    that is not known here, the word that is not.
    """
    if kind is None:
        return _C.UNKNOWN, reporting or _NOTHING_SAID
    may_be = _OF_TYPE.get(kind)
    if may_be is None:
        return _C.UNKNOWN, kind
    if reporting is None:
        return (_C.UNKNOWN if kind == _ADJUSTMENT else may_be[0]), kind
    named = _named(reporting)
    if named is None:
        return _C.UNKNOWN, reporting
    return (named, reporting) if named in may_be else (_C.UNKNOWN, f"{kind}/{reporting}")


def of_report(reporting: str) -> LineCategory:
    """The same of a row in one of Stripe's reports, which have no column for the type."""
    return _named(reporting) or _C.UNKNOWN


def _named(reporting: str) -> LineCategory | None:
    """Stripe says the type again of what it has no group for."""
    if reporting == _ADJUSTMENT:
        return _C.ADJUSTMENT
    of_type = _OF_TYPE.get(reporting)
    return _OF_REPORTING.get(reporting) or (None if of_type is None else of_type[0])
