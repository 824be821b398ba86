"""A BalanceTransaction as Stripe renders it, read into a `Line`; pure.

Its `source` is read with it where it is expanded: it says which payment a row is for, our mark, and
what moved at the payer's side. As in `translate`, what is not understood is `Unknown`, and no
function raises. (https://docs.stripe.com/api/balance_transactions/object)
"""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from paygate.domain.money import EXPONENTS
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import FeePart, Line, LineCategory
from paygate.providers.stripe import line_categories
from paygate.providers.stripe.fields import (
    code,
    day,
    decimal,
    identifier,
    mapping,
    moment,
    named,
    text,
)
from paygate.providers.stripe.money import told

_C = LineCategory
_MAX_PARTS: Final = 20
"""Of a fee: Stripe names three at most."""
_PARTS: Final[Mapping[str, str]] = MappingProxyType({"stripe_fee": "provider_fee"})
"""Our words for the parts of a fee, where they are not Stripe's."""
_FROM_THE_PAYER: Final = frozenset({_C.CHARGE, _C.REFUND_FAILURE, _C.DISPUTE_REVERSAL})
_TO_THE_PAYER: Final = frozenset(
    {_C.PARTIAL_CAPTURE_REVERSAL, _C.CHARGE_FAILURE, _C.REFUND, _C.DISPUTE}
)


class _Money(NamedTuple):
    """A row's amounts, in the smallest unit of its currency."""

    gross: int
    fee: int
    net: int
    currency: str


class _Belongs(NamedTuple):
    """What a row's source says of whose it is."""

    payment: str | None = None
    attempt: str | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})
    connected: str | None = None


def line(
    body: object, *, source: Mapping[str, Any] | None = None, payout: str | None = None
) -> Line | Unknown:
    """What a row of the balance says. `source` is its source, where the row was found through it;
    `payout` is the payout that was asked for its rows, which they do not name.
    """
    if not isinstance(body, Mapping) or body.get("object") != "balance_transaction":
        return Unknown("the answer is not a line of the balance")
    reference = identifier(body.get("id"))
    if reference is None:
        return Unknown("a line of the balance has no usable id")
    money = _money(body)
    if money is None:
        return Unknown(f"the amounts of the line {reference} make no sense")
    available_on, created_at = day(body.get("available_on")), moment(body.get("created"))
    if available_on is None or created_at is None:
        return Unknown(f"the dates of the line {reference} make no sense")
    if source is None:
        source = mapping(body, "source")
    kind, reporting = code(body.get("type")), code(body.get("reporting_category"))
    category, word = line_categories.of_row(kind, reporting)
    rate = decimal(body.get("exchange_rate"))
    customer_amount, customer_currency = _at_the_payer(category, money, rate, source)
    belongs = _belongs(source)
    return Line(
        provider_reference=reference,
        category=category,
        provider_category=word,
        gross=money.gross,
        fee=money.fee,
        net=money.net,
        currency=money.currency,
        available_on=available_on,
        created_at=created_at,
        customer_amount=customer_amount,
        customer_currency=customer_currency,
        exchange_rate=rate,
        source_reference=named(body.get("source")) or named(source),
        payment_reference=belongs.payment,
        fees=_fees(body.get("fee_details"), money),
        connected_account=belongs.connected,
        attempt=belongs.attempt,
        installation=text(belongs.metadata, "paygate_installation"),
        merchant=text(belongs.metadata, "paygate_merchant"),
        intent=text(belongs.metadata, "paygate_intent"),
        payout_reference=payout,
    )


def _money(body: Mapping[str, Any]) -> _Money | None:
    """A row's amounts, if they add up."""
    currency = text(body, "currency")
    if currency is None:
        return None
    gross, fee, net = (told(body.get(key), currency) for key in ("amount", "fee", "net"))
    if gross is None or fee is None or net is None or net != gross - fee:
        return None
    return _Money(gross, fee, net, currency)


def _fees(details: object, money: _Money) -> tuple[FeePart, ...]:
    """The parts of a fee; none where they are not the whole fee."""
    if not isinstance(details, list) or len(details) > _MAX_PARTS:
        return ()
    parts = [_part(each) for each in details]
    read = tuple(part for part in parts if part is not None and part.currency == money.currency)
    whole = len(read) == len(parts) and sum(part.amount for part in read) == money.fee
    return read if whole else ()


def _part(body: object) -> FeePart | None:
    if not isinstance(body, Mapping):
        return None
    kind, currency = code(body.get("type")), text(body, "currency")
    amount = None if currency is None else told(body.get("amount"), currency)
    if kind is None or currency is None or amount is None:
        return None
    return FeePart(_PARTS.get(kind, kind), amount, currency)


def _belongs(source: Mapping[str, Any]) -> _Belongs:
    """A refund bears the mark of its own order; of a dispute, its charge bears the payment's."""
    payment = named(source.get("payment_intent"))
    match source.get("object"):
        case "charge":
            charge = source
        case "refund" | "dispute":
            charge = mapping(source, "charge")
            payment = payment or named(charge.get("payment_intent"))
        case _:
            return _Belongs()
    if source.get("object") == "refund":
        metadata = mapping(source, "metadata")
        return _Belongs(payment, text(metadata, "paygate_refund"), metadata, _connected(charge))
    metadata = mapping(charge, "metadata")
    return _Belongs(payment, text(metadata, "paygate_attempt"), metadata, _connected(charge))


def _connected(charge: Mapping[str, Any]) -> str | None:
    """The connected account that a charge was made for."""
    return (
        named(charge.get("on_behalf_of"))
        or named(mapping(charge, "transfer_data").get("destination"))
        or named(charge.get("destination"))
    )


def _at_the_payer(
    category: LineCategory, money: _Money, rate: str | None, source: Mapping[str, Any]
) -> tuple[int | None, str | None]:
    """What moved at the payer's side, signed as the row, and its currency."""
    currency = text(source, "currency")
    if currency is None or category not in _FROM_THE_PAYER | _TO_THE_PAYER:
        return None, None
    if currency == money.currency:
        return money.gross, currency
    amount = _moved(category, money, rate, source, currency)
    if amount is None:
        return None, None
    return (amount if category in _FROM_THE_PAYER else -amount), currency


def _moved(
    category: LineCategory,
    money: _Money,
    rate: str | None,
    source: Mapping[str, Any],
    currency: str,
) -> int | None:
    """How much of its own currency a source moved by a row in another one."""
    amount = told(source.get("amount"), currency)
    if amount is None or source.get("object") != "charge":
        return amount
    taken = told(source.get("amount_captured"), currency)
    if taken is None:
        return None
    if category is _C.PARTIAL_CAPTURE_REVERSAL:
        return amount - taken
    if amount == taken:
        return amount
    # Of a hold of which a part was taken, the row is of that part, or of the whole beside another
    # row that takes back the rest.
    return None if rate is None else _nearer(money, Decimal(rate), currency, (amount, taken))


def _nearer(money: _Money, rate: Decimal, currency: str, amounts: tuple[int, int]) -> int:
    """Which of two amounts comes to the row's by its rate."""
    scale = Decimal(10) ** (EXPONENTS[money.currency] - EXPONENTS[currency])
    return min(amounts, key=lambda amount: abs(abs(money.gross) - amount * rate * scale))
