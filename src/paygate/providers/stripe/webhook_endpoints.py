"""Where Stripe sends our events: found, made and changed when a gateway is set up.

Set-up has a key, and no signing secret yet: so this stands beside the adapter, over the same wire.
(https://docs.stripe.com/api/webhook_endpoints)
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal

from paygate.crypto.secret import Secret
from paygate.providers.event_endpoints import EndpointMade, EventEndpoint, EventEndpointsError
from paygate.providers.stripe import fields
from paygate.providers.stripe.client import Fact, Reply, Silent, StripeWire
from paygate.providers.stripe.events import ENABLED_EVENTS
from paygate.providers.stripe.settings import check_base, livemode_of
from paygate.providers.stripe.translate import API_VERSION

_ENDPOINTS: Final = "/v1/webhook_endpoints"
_PAGE: Final = 100
"""Stripe's largest page; an account has 16 endpoints at most."""
_TRIES: Final = 3
"""Of making one. The signing secret is in the first answer alone, and again under the same key."""
_ALL: Final = "*"
_NAME: Final = re.compile(r"[a-z0-9_.*-]{1,100}")
_OK, _UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404


class StripeWebhookEndpoints:
    """The webhook endpoints of one Stripe account, in the mode of the key.

    Every call raises EventEndpointsError when Stripe refuses or does not answer.
    """

    def __init__(self, api_base: str, api_key: Secret, *, timeout_seconds: float) -> None:
        """Raises ValueError, naming the setting and never its value."""
        check_base(api_base, livemode=livemode_of(api_key))
        self._wire = StripeWire(api_base.rstrip("/"), api_key)
        self._timeout_seconds = timeout_seconds

    async def at(self, urls: frozenset[str]) -> list[EventEndpoint]:
        """The account's endpoints at any of these addresses."""
        body = _read(await self._call("get", _ENDPOINTS, {"limit": _PAGE}))
        items = body.get("data")
        if not isinstance(items, list) or body.get("has_more") is not False:
            raise EventEndpointsError("the provider's list of webhook endpoints could not be read")
        return [e for item in items if (e := _endpoint(item)).url in urls]

    async def make(self, url: str) -> EndpointMade:
        """A new endpoint, with exactly our events at our API version."""
        key, wanted = f"paygate-{secrets.token_hex(16)}", _wanted(url)
        fact: Fact = Silent("")
        for _ in range(_TRIES):
            fact = await self._call(
                "post", _ENDPOINTS, wanted | {"api_version": API_VERSION}, key=key
            )
            if not isinstance(fact, Silent):
                break
        body = _read(fact)
        secret = fields.text(body, "secret")
        if not secret:
            raise EventEndpointsError("the provider made an endpoint without a signing secret")
        return EndpointMade(_endpoint(body), Secret(secret))

    async def change(self, provider_reference: str, url: str) -> EventEndpoint | None:
        """Bring an endpoint to our address and events; None when the account has no such one.

        Its API version was fixed when it was made.
        """
        fact = await self._call(
            "post", f"{_ENDPOINTS}/{provider_reference}", _wanted(url) | {"disabled": False}
        )
        if isinstance(fact, Reply) and fact.status == _NOT_FOUND:
            return None
        return _endpoint(_read(fact))

    async def close(self) -> None:
        """Release the connections."""
        await self._wire.close()

    async def _call(
        self,
        method: Literal["get", "post"],
        path: str,
        params: Mapping[str, Any],
        *,
        key: str | None = None,
    ) -> Fact:
        return await self._wire.call(
            method, path, params, idempotency_key=key, timeout_seconds=self._timeout_seconds
        )


def _wanted(url: str) -> dict[str, Any]:
    return {"url": url, "enabled_events": list(ENABLED_EVENTS)}


def _read(fact: Fact) -> Mapping[str, Any]:
    """The body of what Stripe did as asked. Raises EventEndpointsError."""
    if not isinstance(fact, Reply):
        raise EventEndpointsError(fact.message)
    if fact.status == _OK:
        return fact.body
    if fact.status in (_UNAUTHENTICATED, _FORBIDDEN):
        raise EventEndpointsError(
            "the provider does not let our API key read or write webhook endpoints"
        )
    error = fields.mapping(fact.body, "error")
    said = [code for name in ("code", "param") if (code := fields.code(error.get(name)))]
    named = f" ({', '.join(said)})" if said else ""
    raise EventEndpointsError(f"the provider refuses the webhook endpoint{named}")


def _endpoint(body: object) -> EventEndpoint:
    """Raises EventEndpointsError: it is none."""
    shown = body if isinstance(body, Mapping) else {}
    reference, url = fields.identifier(shown.get("id")), fields.text(shown, "url")
    events, version = shown.get("enabled_events"), shown.get("api_version")
    if reference is None or url is None or not isinstance(events, list):
        raise EventEndpointsError("the provider's webhook endpoint could not be read")
    version_fault = None
    if version != API_VERSION:
        found = "the account's default" if version is None else _name(version)
        version_fault = f"its API version is {found}, not {API_VERSION}"
    return EventEndpoint(
        provider_reference=reference,
        url=url,
        faults=tuple(_faults(shown.get("status"), set(map(_name, events)))),
        version_fault=version_fault,
    )


def _name(value: object) -> str:
    """A name of Stripe's, fit for a terminal."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else "unreadable"


def _faults(status: object, events: set[str]) -> list[str]:
    faults = []
    if status != "enabled":
        faults.append("it is disabled")
    if _ALL in events:
        return [*faults, "it gets every event, also those that tell nothing of a payment"]
    if lacking := sorted(set(ENABLED_EVENTS) - events):
        faults.append(f"it does not get {', '.join(lacking)}")
    if needless := sorted(events - set(ENABLED_EVENTS)):
        faults.append(f"it gets {', '.join(needless)}, which tell nothing of a payment")
    return faults
