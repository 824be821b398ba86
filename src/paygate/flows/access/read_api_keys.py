"""Read API keys: a page of a merchant's, or one for a flow that changes it."""

from collections.abc import Mapping
from datetime import datetime

from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.storage.pages import Cut, Page

Uses = Mapping[str, datetime]
"""When keys were last used, by their ids; accurate to a minute."""


async def list_api_keys(
    ctx: Context, caller: Caller, cut: Cut, query: str
) -> tuple[Page[ApiKey], Uses]:
    """A page of the merchant's keys, revoked and expired ones too. `query` is for the audit log."""
    page = await ctx.read.api_keys(caller.merchant, cut)
    ids = [key.id for key in page.items]
    uses = await ctx.read.api_key_uses(ids)
    await audit_list(ctx, caller, Action.API_KEY_LIST, query, ids, page.unread)
    return page, uses


async def find_api_key(ctx: Context, merchant: str, key_id: str) -> ApiKey:
    """The merchant's key.

    Raises:
        Refusal: `resource_missing` for an id that is malformed, unknown or another merchant's.
    """
    if is_id(PREFIXES["api_key"], key_id):
        key = await ctx.read.api_key(key_id)
        if key is not None and key.merchant == merchant:
            return key
    raise missing("API key")
