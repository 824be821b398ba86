"""What a call of Stripe's came to, before anybody reads what it says; pure."""

from collections.abc import Mapping
from typing import Any, assert_never

from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.providers.stripe import fields
from paygate.providers.stripe.client import Fact, NotBegun, Reply, Silent


def replied(fact: Fact) -> Reply | NotSent | Unknown:
    """The reply, or what is known where there is none."""
    match fact:
        case NotBegun(message, asked, answered):
            return NotSent(message, max(asked, 1), answered)
        case Silent(message):
            return Unknown(message)
        case Reply():
            return fact
        case _:
            assert_never(fact)


def is_missing(body: Mapping[str, Any]) -> bool:
    """Whether an error says that there is no such object."""
    return fields.mapping(body, "error").get("code") == "resource_missing"
