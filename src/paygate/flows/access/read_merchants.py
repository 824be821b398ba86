"""Read the installation's merchants."""

from paygate.domain.access.merchant import Merchant, is_merchant_id
from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import missing
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context


async def list_merchants(ctx: Context, caller: Caller) -> list[Merchant]:
    """Every merchant, the first one first."""
    merchants = await ctx.merchants.all()
    await audit_list(ctx, caller, Action.MERCHANT_LIST, "", [m.id for m in merchants])
    return merchants


async def find_merchant(ctx: Context, merchant_id: str) -> Merchant:
    """The merchant. Raises `resource_missing`."""
    merchant = await ctx.merchants.get(merchant_id) if is_merchant_id(merchant_id) else None
    if merchant is None:
        raise missing("merchant")
    return merchant
