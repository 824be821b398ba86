"""Lists as Stripe pages them: newest first, cursors exclusive, limit clamped to 1..100.

It must never know what is listed.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.parameters import Hash, Integer, Parameter, Text
from paygate_sandbox.store.objects import Cursor, Window

Item = TypeVar("Item")

DEFAULT_LIMIT = 10


class Created:
    """`created=n` or `created[gt|gte|lt|lte]=n`, read as an inclusive range."""

    _range = Hash({"gt": Integer(), "gte": Integer(), "lt": Integer(), "lte": Integer()})

    def read(self, name: str, raw: Any) -> tuple[int | None, int | None]:
        if isinstance(raw, str):
            exactly = Integer().read(name, raw)
            return exactly, exactly
        given = self._range.read(name, raw)
        lows = [given["gte"]] if "gte" in given else []
        highs = [given["lte"]] if "lte" in given else []
        if "gt" in given:
            lows.append(given["gt"] + 1)
        if "lt" in given:
            highs.append(given["lt"] - 1)
        return max(lows, default=None), min(highs, default=None)


PAGE_PARAMETERS: dict[str, Parameter] = {
    "limit": Integer(1, 100, clamp=True),
    "starting_after": Text(),
    "ending_before": Text(),
}
LIST_PARAMETERS: dict[str, Parameter] = {**PAGE_PARAMETERS, "created": Created()}


def window(params: dict[str, Any], find: Callable[[str], Cursor | None], noun: str) -> Window:
    if "starting_after" in params and "ending_before" in params:
        raise StripeError(
            "You cannot specify both starting_after and ending_before; pick one.",
            param="ending_before",
        )
    edges: dict[str, Cursor] = {}
    for param in ("starting_after", "ending_before"):
        if param in params:
            found = find(params[param])
            if found is None:
                raise StripeError(
                    f"No such {noun}: '{params[param]}'", code="resource_missing", param=param
                )
            edges[param] = found
    since, until = params.get("created", (None, None))
    return Window(
        limit=params.get("limit", DEFAULT_LIMIT),
        after=edges.get("starting_after"),
        before=edges.get("ending_before"),
        since=since,
        until=until,
    )


def trim(found: Sequence[Item], asked: Window) -> tuple[list[Item], bool]:
    """Cut the one too many that shows there is more; always newest first."""
    items = list(found[: asked.limit])
    if asked.before is not None:
        items.reverse()
    return items, len(found) > asked.limit
