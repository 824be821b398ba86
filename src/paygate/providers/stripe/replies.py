"""What a call of Stripe's came to, before anybody reads what it says; pure."""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.providers.contract import ProviderSilent
from paygate.providers.stripe import fields
from paygate.providers.stripe.client import Fact, NotBegun, Reply, Silent

OK: Final = 200


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


def page(fact: Fact) -> tuple[list[Mapping[str, Any]], bool]:
    """A page's objects, and whether there are more.

    Raises:
        ProviderSilent: it is not a whole page.
    """
    if not isinstance(fact, Reply):
        raise ProviderSilent(fact.message)
    if fact.status != OK:
        raise ProviderSilent(f"the provider answered HTTP {fact.status}")
    items, has_more = fact.body.get("data"), fact.body.get("has_more")
    if not isinstance(items, list) or not isinstance(has_more, bool) or (has_more and not items):
        raise ProviderSilent("the provider's list could not be read")
    if not all(isinstance(item, Mapping) for item in items):
        raise ProviderSilent("the provider's list could not be read")
    return items, has_more
