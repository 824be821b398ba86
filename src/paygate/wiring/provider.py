"""The provider, and what is spoken with it beside payments."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from paygate.crypto.secret import Secret
from paygate.flows.provider.pace import PART, Pace, shared
from paygate.providers.contract import CallWatch
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.rehearsal import SandboxEvents
from paygate.providers.stripe.settings import StripeSettings, livemode_of
from paygate.providers.stripe.webhook_endpoints import StripeWebhookEndpoints
from paygate.setting_kinds import Rate
from paygate.settings import Settings, SettingsError
from paygate.storage.installation import Installation
from paygate.wiring.machine import now

if TYPE_CHECKING:
    from paygate.storage.limits_store import LimitsStore


def is_live(settings: Settings) -> bool:
    """The mode is the provider key's."""
    try:
        return livemode_of(Secret(settings.require("stripe_api_key")))
    except ValueError as error:
        raise SettingsError(f"PAYGATE_STRIPE_API_KEY: {error}") from None


def provider_rate(settings: Settings, *, livemode: bool) -> Rate:
    """How often the provider may be asked: four fifths of what Stripe takes of an account in live
    mode, and in test mode (https://docs.stripe.com/rate-limits), unless it was set.
    """
    return settings.provider_rate or Rate(80 if livemode else 20, 1)


def pace_of(settings: Settings, store: "LimitsStore | None", *, livemode: bool) -> Pace:
    """The turns of what nobody waits for; of all nodes together, where they share counts."""
    rate = provider_rate(settings, livemode=livemode)
    budget = None if store is None else shared(store, rate.amount, rate.seconds)
    return Pace(rate.amount / rate.seconds / PART, budget)


def limits_store(settings: Settings) -> "LimitsStore | None":
    if settings.limits_url.startswith("memory:"):
        return None
    # A tenth of a second of imports, for the few who share their counts.
    from paygate.storage.limits_store import LimitsStore  # noqa: PLC0415

    return LimitsStore(settings.limits_url)


def provider_of(settings: Settings, installation: Installation, watch: CallWatch) -> StripeProvider:
    try:
        return StripeProvider(
            StripeSettings(
                api_base=settings.stripe_api_base,
                api_key=Secret(settings.require("stripe_api_key")),
                webhook_secrets=tuple(
                    Secret(text) for text in settings.require_list("stripe_webhook_secrets")
                ),
                installation=installation.id,
                webhook_tolerance_seconds=int(settings.webhook_tolerance.total_seconds()),
            ),
            clock=now,  # the machine's own, whatever time a command plays
            watch=watch,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None


@asynccontextmanager
async def open_webhook_endpoints(settings: Settings) -> AsyncIterator[StripeWebhookEndpoints]:
    """The endpoints at the provider that this installation's events go to."""
    try:
        endpoints = StripeWebhookEndpoints(
            settings.stripe_api_base,
            Secret(settings.require("stripe_api_key")),
            timeout_seconds=settings.provider_timeout.total_seconds(),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
    try:
        yield endpoints
    finally:
        await endpoints.close()


@asynccontextmanager
async def open_sandbox_events(settings: Settings) -> AsyncIterator[SandboxEvents]:
    """The events that the sandbox sends for rehearsal."""
    try:
        events = SandboxEvents(settings.stripe_api_base)
    except ValueError as error:
        raise SettingsError(f"PAYGATE_STRIPE_API_BASE: {error}") from None
    try:
        yield events
    finally:
        await events.close()
