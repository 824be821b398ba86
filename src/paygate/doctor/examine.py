"""Gather what the checks judge. Whatever cannot be had is `Away`, with the reason; nothing is
raised for it, and nothing is changed anywhere.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from paygate.crypto.keyring import KeyringError
from paygate.crypto.kms import KmsError
from paygate.crypto.secret import Secret
from paygate.crypto.vault_http import TransitAddress, VaultError
from paygate.crypto.vault_transit import Transit
from paygate.doctor.patient import Away, KeyService, Patient, Vault, refusal
from paygate.flows.encryption.watch import key_in_use
from paygate.flows.housekeeping.months import AHEAD
from paygate.providers.event_endpoints import EventEndpoint, EventEndpointsError
from paygate.providers.stripe.inspection import KeyFacts, StripeKeyLook
from paygate.settings import Looked, Settings, SettingsError
from paygate.storage.change import StorageError
from paygate.storage.connections.reach import UnreachableError, reaching
from paygate.storage.connections.session import DRIVER_FAULTS
from paygate.storage.inspection import ServerFacts, inspect
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.schema.versions import MigrationError
from paygate.storage.unreadable import UNREAD
from paygate.wiring.database import connect
from paygate.wiring.machine import now
from paygate.wiring.provider import open_webhook_endpoints
from paygate.wiring.service import open_context

PROVIDER: Final = "stripe"
_OF_PROVIDER: Final = ("stripe_api_key", "stripe_api_base")
PROVIDER_SECONDS: Final = 10.0
"""Of one call: whoever waits sits before a terminal."""
_CLOSED: Final = (
    *(SettingsError, MigrationError, KmsError, KeyringError, StorageError),
    *(UnreachableError, OSError),
)


async def examine(looked: Looked) -> Patient:
    """The gateway of these settings, as it is just now."""
    settings = looked.settings
    database, (key_service, vault), key, endpoints = await asyncio.gather(
        _database(looked), _keys(looked), _key(looked), endpoints_of(looked)
    )
    return Patient(
        settings=settings,
        at=now(),
        database=database,
        key_service=key_service,
        vault=vault,
        key=key,
        endpoints=endpoints,
        refused=looked.refused,
        at_odds=looked.together,
    )


async def endpoints_of(looked: Looked) -> Sequence[EventEndpoint] | Away:
    """The provider's endpoints at our address, which has two names."""
    settings = looked.settings
    if unknown := refusal(looked.refused, ("public_url", *_OF_PROVIDER)):
        return unknown
    try:
        url = f"{settings.require('public_url')}/webhooks"
        async with (
            asyncio.timeout(PROVIDER_SECONDS),
            open_webhook_endpoints(settings) as endpoints,
        ):
            return await endpoints.at(frozenset({url, f"{url}/stripe"}))
    except TimeoutError:
        return Away("the provider did not answer in time")
    except (SettingsError, EventEndpointsError) as error:
        return Away(str(error))


async def _database(looked: Looked) -> ServerFacts | Away:
    settings = looked.settings
    if unknown := refusal(looked.refused, ("database_url",)):
        return unknown
    try:
        dial = reaching(connect(settings, name="doctor"), settings.require("database_url"))
        return await inspect(dial, month_of=now() + AHEAD)
    except (SettingsError, UnreachableError) as error:
        return Away(str(error))
    except (OSError, *DRIVER_FAULTS) as error:
        return Away(f"the database ended the conversation: {type(error).__name__}")


async def _keys(looked: Looked) -> tuple[KeyService | Away | None, Vault | Away]:
    """A start waits for a key service that is away: who looks has no time for that."""
    if unknown := refusal(looked.refused, ("kek",)):
        return unknown, unknown
    service = await asyncio.to_thread(_key_service, looked.settings)
    if isinstance(service, Away):
        return service, service
    unknown = refusal(looked.refused, ("database_url", "stripe_api_key"))
    return service, unknown or await _vault(looked.settings)


def _key_service(settings: Settings) -> KeyService | Away | None:
    if settings.kek is None or not settings.kek.startswith("hcvault:"):
        return None
    try:
        transit = Transit(TransitAddress.parse(settings.kek), patience_seconds=0)
        return KeyService(transit.key(), transit.token())
    except VaultError as error:
        return Away(str(error))


async def _vault(settings: Settings) -> Vault | Away:
    # Nothing is received here: a missing signing secret is another check's.
    quiet = msgspec.structs.replace(settings, stripe_webhook_secrets=("whsec_of_nobody",))
    try:
        async with open_context(quiet, name="doctor") as ctx:
            pin = await ctx.read.provider_account(DEFAULT_MERCHANT, PROVIDER)
            key = await key_in_use(ctx)
    except UNREAD:
        return Away("the record of the provider's account cannot be read")
    except _CLOSED as error:
        return Away(str(error))
    return Vault(None if pin is None else pin.account, key.used_since, key.unfinished)


async def _key(looked: Looked) -> KeyFacts | Away:
    settings = looked.settings
    if unknown := refusal(looked.refused, _OF_PROVIDER):
        return unknown
    try:
        key = Secret(settings.require("stripe_api_key"))
        look = StripeKeyLook(settings.stripe_api_base, key, timeout_seconds=PROVIDER_SECONDS)
    except (SettingsError, ValueError) as error:
        return Away(str(error))
    return await look.look()
