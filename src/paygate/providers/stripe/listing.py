"""Whether a list of Stripe's goes on, read page by page; pure.

Stripe lists the newest first. A cursor that a server ignores, or a list that begins anew behind its
end, would be read for ever, and would prove nothing.
"""

import itertools
from collections.abc import Mapping
from typing import Any, Final

from paygate.providers.absence import ProviderSilent
from paygate.providers.stripe.fields import identifier, moment

DISORDER_SECONDS: Final = 5
"""How far a list may be from newest first, for it is made by many machines."""


class Listing:
    """One reading of a list. Only the objects of its last seconds are remembered: however long the
    list is, this does not grow.
    """

    def __init__(self) -> None:
        self._recent: dict[str, float] = {}
        self._oldest: float | None = None

    def next(self, item: Mapping[str, Any]) -> str:
        """The id of the next object.

        Raises:
            ProviderSilent: the object was listed before, or cannot be told from others.
        """
        object_id, created = identifier(item.get("id")), moment(item.get("created"))
        if object_id is None or created is None:
            raise ProviderSilent("the provider's list names a payment without its id or its time")
        at = created.timestamp()
        self._oldest = at if self._oldest is None else min(at, self._oldest)
        if object_id in self._recent or at > self._oldest + DISORDER_SECONDS:
            raise ProviderSilent("the provider's list begins anew, and has no end")
        self._recent[object_id] = at
        self._forget(self._oldest + DISORDER_SECONDS)
        return object_id

    def _forget(self, newest: float) -> None:
        """What is too new to be listed again stands first. Two for one that is added: enough to
        keep up.
        """
        for object_id, at in tuple(itertools.islice(self._recent.items(), 2)):
            if at > newest:
                del self._recent[object_id]
