"""How the account settles: in which currency and at what rates, how soon, in how many rows.

Pure data: it must never know where it is kept, nor who asks.
"""

from typing import Annotated, Literal

import msgspec

Currency = Annotated[str, msgspec.Meta(pattern="^[a-z]{3}$")]
Rate = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,12})?$")]
FundsDays = Annotated[int, msgspec.Meta(ge=0, le=90)]
PartialCapture = Literal["one_row", "two_rows"]
_DEFAULT_DAYS = 2


class Settling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`currency` None: every currency settles in itself. `rates` tell what one major unit of
    another currency is worth in it; one without a rate settles in itself too.
    """

    currency: Currency | None = None
    rates: dict[Currency, Rate] = {}
    # Funds are there at midnight UTC of so many days after.
    available_in_days: FundsDays = _DEFAULT_DAYS
    # How a hold looks of which a part was captured: newer accounts have one row, older ones two.
    partial_capture: PartialCapture = "one_row"


def read(stored: str | None) -> Settling:
    """The settling as `write` left it."""
    return Settling() if stored is None else msgspec.json.decode(stored, type=Settling)


def write(settling: Settling) -> str:
    return msgspec.json.encode(settling).decode()
