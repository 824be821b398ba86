"""A part of a payment's money that somebody names: to capture it, or to give it back."""

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.money import Currency
from paygate.flows.context import Context


def check_amount(
    ctx: Context, amount: int, currency: Currency, *, most: int, of: str, verb: str
) -> int:
    """The amount, in the smallest unit, when it is 1 to `most` and the provider can name it. `of`
    says what `most` is, `verb` what the provider is to do with the amount.

    Raises:
        Refusal: `amount_too_small`, `amount_too_large`, `amount_not_representable`.
    """
    if not 1 <= amount <= most:
        raise Refusal(
            ErrorCode.AMOUNT_TOO_SMALL if amount < 1 else ErrorCode.AMOUNT_TOO_LARGE,
            f"amount must be 1 to {most}, {of}",
            param="amount",
        )
    if not ctx.provider.representable(amount, currency):
        raise Refusal(
            ErrorCode.AMOUNT_NOT_REPRESENTABLE,
            f"the provider cannot {verb} exactly {amount} smallest units of {currency}",
            param="amount",
        )
    return amount
