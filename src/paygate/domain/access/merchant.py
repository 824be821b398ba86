"""A merchant: what divides keys, payments and events within one installation."""

import re
from datetime import datetime
from typing import Final

import msgspec

from paygate.domain.errors import ErrorCode, Refusal

_SHAPE: Final = re.compile(r"[a-z0-9_-]{1,40}")


class Merchant(msgspec.Struct, frozen=True):
    """Its id is its name: chosen once, and in clear in every row."""

    id: str
    created_at: datetime


def is_merchant_id(text: str) -> bool:
    """Whether a merchant may be called so."""
    return _SHAPE.fullmatch(text) is not None


def check_merchant_id(text: str) -> str:
    """Raises `parameter_invalid` for what no merchant may be called."""
    if not is_merchant_id(text):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "a merchant's id is 1 to 40 characters of a-z, 0-9, _ and -",
            param="id",
        )
    return text
