"""`expand[]`: ids replaced by the objects they name, at most four levels deep.

Paths are checked against the table before anything executes, as Stripe does. It must never read
the store itself: the caller hands in how an object is found.
"""

from collections.abc import Callable
from typing import Any

from paygate_sandbox.protocol.errors import StripeError

MAX_LEVELS = 4

# What each kind of object names by id, and the kinds that stand there: of several, the id tells.
EXPANDABLE: dict[str, dict[str, str | tuple[str, ...]]] = {
    "payment_intent": {
        "customer": "customer",
        "latest_charge": "charge",
        "payment_method": "payment_method",
    },
    "charge": {
        "balance_transaction": "balance_transaction",
        "customer": "customer",
        "failure_balance_transaction": "balance_transaction",
        "payment_intent": "payment_intent",
    },
    "refund": {
        "balance_transaction": "balance_transaction",
        "charge": "charge",
        "failure_balance_transaction": "balance_transaction",
        "payment_intent": "payment_intent",
    },
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "radar.early_fraud_warning": {"charge": "charge", "payment_intent": "payment_intent"},
    "balance_transaction": {"source": ("charge", "dispute", "payout", "refund")},
    "payout": {
        "balance_transaction": "balance_transaction",
        "failure_balance_transaction": "balance_transaction",
        "original_payout": "payout",
        "reversed_by": "payout",
    },
    "payment_method": {"customer": "customer"},
    "customer_cash_balance_transaction": {"customer": "customer"},
    "mandate": {"payment_method": "payment_method"},
}

_PREFIXES = {
    "ch": "charge",
    "py": "charge",
    "re": "refund",
    "pyr": "refund",
    "du": "dispute",
    "po": "payout",
}

Find = Callable[[str, str], dict[str, Any] | None]


def check_paths(paths: list[str], kind: str, *, is_list: bool) -> list[list[str]]:
    """The paths as steps below one object of this kind; a path that leads nowhere is refused."""
    checked: list[list[str]] = []
    for path in paths:
        steps = path.split(".")
        if len(steps) > MAX_LEVELS:
            raise StripeError("You cannot expand more than 4 levels of a property.", param="expand")
        if is_list:
            if steps[0] != "data":
                hint = ""
                if steps[0] in EXPANDABLE.get(kind, {}):
                    hint = f" You may want to try expanding 'data.{path}' instead."
                raise StripeError(f"This property cannot be expanded ({path}).{hint}")
            steps = steps[1:]
        _check(steps, kind, path)
        checked.append(steps)
    return checked


def _check(steps: list[str], kind: str, path: str) -> None:
    kinds: tuple[str, ...] = (kind,)
    for step in steps:
        found = [EXPANDABLE.get(each, {}).get(step) for each in kinds]
        kinds = tuple(each for names in found if names is not None for each in _several(names))
        if not kinds:
            raise StripeError(f"This property cannot be expanded ({path}).")


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _kind_of(names: str | tuple[str, ...], object_id: str) -> str:
    return names if isinstance(names, str) else _PREFIXES[object_id.partition("_")[0]]


def expand(body: dict[str, Any], paths: list[list[str]], find: Find) -> dict[str, Any]:
    for steps in paths:
        node = body
        for step in steps:
            names = EXPANDABLE[node["object"]].get(step)
            if names is None:  # another kind of object has it
                break
            value = node.get(step)
            if isinstance(value, str):
                value = find(_kind_of(names, value), value)
                node[step] = value
            if value is None:
                break
            node = value
    return body
