"""Create a merchant: a name of its own for keys, payments and events to stand under."""

from paygate.domain.access.merchant import Merchant, check_merchant_id
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.context import Context


async def create_merchant(ctx: Context, caller: Caller, merchant_id: str) -> Merchant:
    """The new merchant.

    Raises:
        Refusal: the id is no merchant's id, or is taken.
    """
    subject = Subject("merchant", check_merchant_id(merchant_id))
    audit = ctx.audit(caller, Action.MERCHANT_CREATE, subject)
    merchant = await ctx.merchants.create(merchant_id, audit)
    if merchant is None:
        raise Refusal(ErrorCode.STATE_CONFLICT, f"the merchant {merchant_id} exists already")
    return merchant
