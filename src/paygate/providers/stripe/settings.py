"""Which Stripe account, and how our payments are marked there."""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from paygate.crypto.secret import Secret

_MODES: Final = {"sk_test_": False, "rk_test_": False, "sk_live_": True, "rk_live_": True}


class StripeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One Stripe account, in the mode of its key.

    `installation` marks our payments at Stripe. Several webhook secrets may hold at once,
    because a rolled one stays valid for up to a day.
    """

    api_base: str
    api_key: Secret
    webhook_secrets: tuple[Secret, ...]
    installation: str
    webhook_tolerance_seconds: int = 300


def livemode_of(api_key: Secret) -> bool:
    """The mode that a key is for. Raises ValueError for what is no secret key of Stripe's."""
    for prefix, livemode in _MODES.items():
        if api_key.reveal().startswith(prefix):
            return livemode
    raise ValueError("the stripe API key must start with sk_test_, rk_test_, sk_live_ or rk_live_")


def check(settings: StripeSettings, *, livemode: bool) -> None:
    """Raises ValueError, naming the setting and never its value."""
    if not settings.webhook_secrets or not all(s.reveal() for s in settings.webhook_secrets):
        raise ValueError("the stripe webhook secrets must be at least one, and none empty")
    if not settings.installation:
        raise ValueError("the installation must have a name")
    if settings.webhook_tolerance_seconds < 1:
        raise ValueError("the webhook tolerance must be at least a second")
    check_base(settings.api_base, livemode=livemode)


def check_base(api_base: str, *, livemode: bool) -> None:
    """Raises ValueError: no key of that mode goes to that address."""
    base = urlsplit(api_base)
    if base.scheme not in {"http", "https"} or not base.hostname:
        raise ValueError("the stripe API base must be a URL such as https://api.stripe.com")
    if livemode and base.scheme != "https":
        raise ValueError("a live stripe key goes over https only")
