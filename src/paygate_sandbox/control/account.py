"""How the account settles, by order.

It must never convert anything by itself.
"""

import msgspec

from paygate_sandbox.control.orders import AccountOrder, OrderError
from paygate_sandbox.resources.currencies import CURRENCIES
from paygate_sandbox.settling import Settling
from paygate_sandbox.store.objects import JsonObject

_NAMES = {"settlement_currency": "currency"}


def change(settling: Settling, order: AccountOrder) -> Settling:
    """The settling with what was ordered. Raises OrderError."""
    given = {
        _NAMES.get(name, name): value
        for name, value in msgspec.structs.asdict(order).items()
        if value is not msgspec.UNSET
    }
    changed = msgspec.structs.replace(settling, **given)
    named = {changed.currency or "usd", *changed.rates}
    if not named <= CURRENCIES:
        raise OrderError(f"unknown currency: {', '.join(sorted(named - CURRENCIES))}")
    if changed.rates and changed.currency is None:
        raise OrderError("rates are into a `settlement_currency`: give it too")
    if any(float(rate) == 0 for rate in changed.rates.values()):
        raise OrderError("a rate of 0 leaves no money")
    return changed


def tell(settling: Settling) -> JsonObject:
    told: JsonObject = msgspec.to_builtins(settling)
    told["settlement_currency"] = told.pop("currency")
    return told
