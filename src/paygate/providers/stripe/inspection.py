"""What our key may do at Stripe, asked without changing anything there."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from paygate.crypto.secret import Secret
from paygate.providers.contract import ClockSkew
from paygate.providers.stripe import fields
from paygate.providers.stripe.client import Reply, StripeWire
from paygate.providers.stripe.settings import check_base, livemode_of

_ACCOUNT: Final = "/v1/account"
_LISTS: Final = (
    "/v1/payment_intents",
    "/v1/refunds",
    "/v1/disputes",
    "/v1/events",
    "/v1/customers",
    "/v1/radar/early_fraud_warnings",
)
"""Lists that every gateway reads. Who may change what they show, no harmless call can tell."""
_OK, _UNAUTHENTICATED, _FORBIDDEN = 200, 401, 403


class KeyFacts(msgspec.Struct, frozen=True):
    """What became known of the provider's key."""

    account: str | None = None
    """None: it may not say."""
    away: str | None = None
    """Why the provider could not be asked, or None."""
    refused: bool = False
    """The provider does not take the key at all."""
    unreadable: tuple[str, ...] = ()
    """The calls that the key has no right to."""
    skew: ClockSkew | None = None


class StripeKeyLook:
    """One look at a key. It is no more than GETs."""

    def __init__(self, api_base: str, api_key: Secret, *, timeout_seconds: float) -> None:
        """Raises ValueError, naming the setting and never its value."""
        check_base(api_base, livemode=livemode_of(api_key))
        self._wire = StripeWire(api_base.rstrip("/"), api_key)
        self._timeout_seconds = timeout_seconds

    async def look(self) -> KeyFacts:
        """What the key shows."""
        try:
            return await self._look()
        finally:
            await self._wire.close()

    async def _look(self) -> KeyFacts:
        status, account = await self._ask(_ACCOUNT)
        if isinstance(status, str):
            return KeyFacts(away=status)
        if status == _UNAUTHENTICATED:
            return KeyFacts(refused=True)
        lacking = [] if status == _OK else [_ACCOUNT]
        for path in _LISTS:
            status, _ = await self._ask(path, limit=1)
            if isinstance(status, str):
                return KeyFacts(account=account, away=status)
            if status == _FORBIDDEN:
                lacking.append(path)
        skew = self._wire.skew(datetime.now(UTC))
        return KeyFacts(account=account, unreadable=tuple(lacking), skew=skew)

    async def _ask(self, path: str, **params: int) -> tuple[int | str, str | None]:
        """The status of a GET, and the id in its answer; or why there is none."""
        fact = await self._wire.call("get", path, params, timeout_seconds=self._timeout_seconds)
        if not isinstance(fact, Reply):
            return fact.message, None
        return fact.status, fields.identifier(fact.body.get("id")) if fact.status == _OK else None
