"""The port, implemented by Stripe: orders become calls, facts become answers.

What Stripe answers is believed only as far as it agrees with what was asked: another amount,
currency, mode or attempt is `Unknown`, never `Approved`.
"""

import math
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from paygate.crypto.secret import Secret
from paygate.domain.money import Currency
from paygate.domain.outcome import Answer, Approved, NotSent, Outcome, Rejected, Unknown
from paygate.domain.payment_intent import CaptureMethod
from paygate.domain.payment_method import CardToken
from paygate.providers.contract import (
    Absent,
    CancelOrder,
    CaptureOrder,
    ConfirmOrder,
    CustomerMade,
    CustomerOrder,
    Notice,
    ProviderSilent,
)
from paygate.providers.stripe import events, fields, money, refusals, translate
from paygate.providers.stripe.client import Fact, NotBegun, Reply, Silent, StripeWire

_MODES: Final = {"sk_test_": False, "rk_test_": False, "sk_live_": True, "rk_live_": True}

_PAYMENTS: Final = "/v1/payment_intents"
_CUSTOMERS: Final = "/v1/customers"
_OK, _NOT_FOUND = 200, 404
_PAGE: Final = 100
"""Stripe's largest page."""
_MAX_PAGES: Final = 10_000
"""A million payments in one window; a list that goes on after that is a loop."""


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


class StripeProvider:
    """A Stripe account (`Provider`)."""

    name = "stripe"
    keys_kept = timedelta(hours=24)  # docs.stripe.com/api/idempotent_requests

    def __init__(self, settings: StripeSettings) -> None:
        self.livemode = livemode_of(settings.api_key)
        _check(settings, livemode=self.livemode)
        self._settings = settings
        self._wire = StripeWire(settings.api_base.rstrip("/"), settings.api_key)

    def __repr__(self) -> str:
        return f"<StripeProvider livemode={self.livemode}>"

    def representable(self, amount: int, currency: Currency) -> bool:
        return money.representable(amount, currency)

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        fact = await self._wire.call(
            "post",
            _PAYMENTS,
            parameters(order, self._settings.installation),
            idempotency_key=order.attempt,
            timeout_seconds=timeout_seconds,
        )
        match fact:
            case NotBegun(message, asked):
                return Answer(NotSent(message, max(asked, 1)))
            case Silent(message):
                return Answer(Unknown(message))
        if fact.status == _OK:
            answer = translate.payment(fact.body, livemode=self.livemode, as_of=fact.as_of)
        else:
            answer = refusals.refusal(
                fact.status, fact.body, livemode=self.livemode, as_of=fact.as_of
            )
        return held_against(order, self._settings.installation, answer)

    async def capture(self, order: CaptureOrder, *, timeout_seconds: float) -> Answer:
        units = money.to_provider(order.amount, order.currency)
        sent = {"amount_to_capture": units, "expand": ["latest_charge"]}
        return await self._order(
            "capture", order.provider_reference, sent, order.attempt, timeout_seconds
        )

    async def cancel(self, order: CancelOrder, *, timeout_seconds: float) -> Answer:
        return await self._order("cancel", order.provider_reference, {}, order.key, timeout_seconds)

    async def make_customer(
        self, order: CustomerOrder, *, timeout_seconds: float
    ) -> CustomerMade | NotSent | Rejected | Unknown:
        sent: dict[str, Any] = {
            "metadata": {
                "paygate_installation": self._settings.installation,
                "paygate_merchant": order.merchant,
                "paygate_customer": order.customer,
            }
        }
        given = {"email": order.email, "name": order.name}
        fact = await self._wire.call(
            "post",
            _CUSTOMERS,
            sent | {key: value for key, value in given.items() if value is not None},
            idempotency_key=order.customer,
            timeout_seconds=timeout_seconds,
        )
        match fact:
            case NotBegun(message, asked):
                return NotSent(message, max(asked, 1))
            case Silent(message):
                return Unknown(message)
        if fact.status == _OK:
            reference = fields.identifier(fact.body.get("id"))
            unread = Unknown("the customer has no usable id")
            return unread if reference is None else CustomerMade(reference)
        refused = refusals.standing(
            fact.status, fact.body, livemode=self.livemode, as_of=fact.as_of
        ).outcome
        return refused if isinstance(refused, Rejected) else Unknown("the provider made none")

    async def _order(
        self,
        verb: str,
        reference: str,
        sent: dict[str, Any],
        key: str,
        timeout_seconds: float,
    ) -> Answer:
        """A standing order about one payment."""
        fact = await self._wire.call(
            "post",
            f"{_PAYMENTS}/{reference}/{verb}",
            sent,
            idempotency_key=key,
            timeout_seconds=timeout_seconds,
        )
        match fact:
            case NotBegun(message, asked):
                return Answer(NotSent(message, max(asked, 1)))
            case Silent(message):
                return Answer(Unknown(message))
        if fact.status == _OK:
            answer = translate.payment(fact.body, livemode=self.livemode, as_of=fact.as_of)
        else:
            answer = refusals.standing(
                fact.status, fact.body, livemode=self.livemode, as_of=fact.as_of
            )
        if answer.provider_reference not in {None, reference}:
            return Answer(Unknown("the provider answered with another payment"), as_of=fact.as_of)
        return answer

    async def retrieve(self, provider_reference: str, *, timeout_seconds: float) -> Answer | Absent:
        if fields.identifier(provider_reference) is None:
            return Absent()
        fact = await self._wire.call(
            "get",
            f"{_PAYMENTS}/{provider_reference}",
            {"expand": ["latest_charge"]},
            timeout_seconds=timeout_seconds,
        )
        if not isinstance(fact, Reply):
            return Answer(Unknown(fact.message))
        if fact.status == _NOT_FOUND and _is_missing(fact.body):
            return Absent()
        if fact.status != _OK:
            # Refusing to tell is not refusing the payment: a revoked key ends nothing here.
            return Answer(Unknown(f"the provider answered HTTP {fact.status}"), as_of=fact.as_of)
        answer = translate.payment(fact.body, livemode=self.livemode, as_of=fact.as_of)
        if answer.provider_reference not in {None, provider_reference}:
            return Answer(Unknown("the provider answered with another payment"), as_of=fact.as_of)
        return answer

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        """Page by page through Stripe's list, which is read-after-write, unlike its search
        (https://docs.stripe.com/search). The deadline is each page's.
        """
        window = {"gte": math.floor(since.timestamp()), "lte": math.ceil(until.timestamp())}
        seen: set[str] = set()
        after: str | None = None
        for _ in range(_MAX_PAGES):
            params: dict[str, Any] = {
                "created": window,
                "limit": _PAGE,
                "expand": ["data.latest_charge"],
            }
            if after is not None:
                params["starting_after"] = after
            fact = await self._wire.call("get", _PAYMENTS, params, timeout_seconds=timeout_seconds)
            items, has_more = _page(fact)
            assert isinstance(fact, Reply)
            for item in items:
                after = fields.identifier(item.get("id"))
                if after is None or after in seen:
                    raise ProviderSilent("the provider's list names a payment twice, or not at all")
                seen.add(after)
                yield translate.payment(item, livemode=self.livemode, as_of=fact.as_of)
            if not has_more:
                return
        raise ProviderSilent("the provider's list has no end")

    def open_event(self, body: bytes, headers: Mapping[str, str], now: datetime) -> Notice:
        events.verify(
            body,
            headers,
            self._settings.webhook_secrets,
            now=now,
            tolerance_seconds=self._settings.webhook_tolerance_seconds,
        )
        return events.read(body)

    def read_event(self, body: bytes) -> Notice:
        return events.read(body)

    async def close(self) -> None:
        await self._wire.close()


def parameters(order: ConfirmOrder, installation: str) -> dict[str, Any]:
    """What a confirm sends, in a fixed order: Stripe refuses a key's second use with others.

    `automatic`, not today's default `automatic_async`: it captures before it answers, so that
    `succeeded` means that the money is taken; and a default is Stripe's to change.
    The payer is there (no `off_session`), so a challenge is possible and needs `return_url`.
    A card's own text goes into the suffix, since Stripe refuses `statement_descriptor` for cards.
    """
    assert isinstance(order.instrument, CardToken), "cards alone, so far"
    manual = order.capture_method is CaptureMethod.MANUAL
    sent: dict[str, Any] = {
        "amount": money.to_provider(order.amount, order.currency),
        "currency": order.currency,
        "confirm": True,
        "capture_method": "manual" if manual else "automatic",
        "payment_method_types": ["card"],
        "payment_method": order.instrument.token,
        "metadata": {
            "paygate_installation": installation,
            "paygate_merchant": order.merchant,
            "paygate_intent": order.intent,
            "paygate_attempt": order.attempt,
        },
        "expand": ["latest_charge"],
    }
    given = {
        "return_url": order.return_url,
        "description": order.description,
        "statement_descriptor_suffix": order.statement_descriptor,
    }
    return sent | {key: value for key, value in given.items() if value is not None}


def held_against(order: ConfirmOrder, installation: str, answer: Answer) -> Answer:
    """The answer, if it is of this order's payment; else `Unknown`."""
    if answer.provider_reference is None:
        return answer
    if (answer.attempt, answer.installation) != (order.attempt, installation):
        return Answer(Unknown("the provider answered with another payment"), as_of=answer.as_of)
    if (answer.amount, answer.currency) != (order.amount, order.currency):
        return _doubted(answer, "the provider's payment is of another amount")
    if isinstance(answer.outcome, Approved):
        return _approved(order, answer, answer.outcome)
    return answer


def _approved(order: ConfirmOrder, answer: Answer, approved: Approved) -> Answer:
    if approved.amount_received + approved.amount_capturable != order.amount:
        return _doubted(answer, "the provider approved another amount")
    if approved.captured is (order.capture_method is CaptureMethod.MANUAL):
        return _doubted(answer, "the provider captured otherwise than it was told")
    return answer


def _doubted(answer: Answer, why: str) -> Answer:
    outcome: Outcome = Unknown(why)
    return msgspec.structs.replace(answer, outcome=outcome)


def _is_missing(body: Mapping[str, Any]) -> bool:
    return fields.mapping(body, "error").get("code") == "resource_missing"


def _page(fact: Fact) -> tuple[list[Mapping[str, Any]], bool]:
    """A page's payments, and whether there are more.

    Raises:
        ProviderSilent: it is not a whole page.
    """
    if not isinstance(fact, Reply):
        raise ProviderSilent(fact.message)
    if fact.status != _OK:
        raise ProviderSilent(f"the provider answered HTTP {fact.status}")
    items, has_more = fact.body.get("data"), fact.body.get("has_more")
    if not isinstance(items, list) or not isinstance(has_more, bool) or (has_more and not items):
        raise ProviderSilent("the provider's list could not be read")
    if not all(isinstance(item, Mapping) for item in items):
        raise ProviderSilent("the provider's list could not be read")
    return items, has_more


def livemode_of(api_key: Secret) -> bool:
    """The mode that a key is for. Raises ValueError for what is no secret key of Stripe's."""
    for prefix, livemode in _MODES.items():
        if api_key.reveal().startswith(prefix):
            return livemode
    raise ValueError("the stripe API key must start with sk_test_, rk_test_, sk_live_ or rk_live_")


def _check(settings: StripeSettings, *, livemode: bool) -> None:
    """Raises ValueError, naming the setting and never its value."""
    if not settings.webhook_secrets or not all(s.reveal() for s in settings.webhook_secrets):
        raise ValueError("the stripe webhook secrets must be at least one, and none empty")
    if not settings.installation:
        raise ValueError("the installation must have a name")
    if settings.webhook_tolerance_seconds < 1:
        raise ValueError("the webhook tolerance must be at least a second")
    base = urlsplit(settings.api_base)
    if base.scheme not in {"http", "https"} or not base.hostname:
        raise ValueError("the stripe API base must be a URL such as https://api.stripe.com")
    if livemode and base.scheme != "https":
        raise ValueError("a live stripe key goes over https only")
