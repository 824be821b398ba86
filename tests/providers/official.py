"""What Stripe's own client sends: the judge of what ours sends."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import urlsplit

import stripe

from paygate.providers.stripe.translate import API_VERSION

stripe.enable_telemetry = False  # it would leave an id in the home directory


class Sent(NamedTuple):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str


class _Recorder(stripe.HTTPClient):
    name: ClassVar[str] = "recorder"

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Sent] = []

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        target = urlsplit(url)
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        self.sent.append(Sent(method.upper(), target.path, target.query, lowered, post_data or ""))
        return "{}", 200, {}


def sent(
    method: Literal["get", "post"],
    path: str,
    params: Mapping[str, Any],
    *,
    api_key: str = "sk_test_official",
    idempotency_key: str = "key",
) -> Sent:
    recorder = _Recorder()
    client = stripe.StripeClient(
        api_key, stripe_version=API_VERSION, http_client=recorder, max_network_retries=0
    )
    client.raw_request(method, path, idempotency_key=idempotency_key, **params)
    (one,) = recorder.sent
    return one
