"""The provider's key, its account and its clock, and the endpoint that it sends our events to."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Final

from paygate.crypto.secret import Secret
from paygate.doctor.finding import Said, ok, warning, wrong
from paygate.doctor.patient import Away, Patient, not_known
from paygate.providers.stripe.inspection import KeyFacts
from paygate.providers.stripe.settings import livemode_of

CLOCK_MOST: Final = timedelta(seconds=5)
_FIX: Final = "Run `paygate doctor --fix`, or `paygate webhooks register`."


def mode(patient: Patient) -> Said:
    key = patient.settings.stripe_api_key
    if key is None:
        return wrong("PAYGATE_STRIPE_API_KEY is not set", "Set it.")
    try:
        live = livemode_of(Secret(key))
    except ValueError as error:
        return wrong(str(error), "Set PAYGATE_STRIPE_API_KEY to a secret or restricted key.")
    if live and not patient.production:
        return warning(
            "a live key without the safety rails of production",
            "Set PAYGATE_ENVIRONMENT=production.",
        )
    if key.startswith("sk_live"):
        return warning(
            "the provider's key may do everything there", "Use a restricted key (docs/stripe.md)."
        )
    return ok(f"the provider's key is a {'live' if live else 'test'} key")


def _of_key(look: Callable[[Patient, KeyFacts], Said]) -> Callable[[Patient], Said]:
    """A check of what the provider said to the key, for when it said anything."""

    @wraps(look)
    def check(patient: Patient) -> Said:
        found = patient.key
        if isinstance(found, Away):
            return not_known(found)
        if found.away is not None:
            return not_known(Away(f"the provider could not be asked: {found.away}"))
        return look(patient, found)

    return check


@_of_key
def taken(_: Patient, found: KeyFacts) -> Said:
    if found.refused:
        return wrong("the provider does not take our key", "Set PAYGATE_STRIPE_API_KEY anew.")
    return ok("the provider takes our key")


@_of_key
def rights(_: Patient, found: KeyFacts) -> Said:
    if found.refused:
        return not_known(Away("the provider does not take our key"))
    if found.unreadable:
        return wrong(
            f"the provider's key has no right to read {', '.join(found.unreadable)}",
            "Give it the rights that docs/stripe.md lists.",
        )
    return ok("the provider's key may read all that is read; what it may change, only use tells")


@_of_key
def account(patient: Patient, found: KeyFacts) -> Said:
    if isinstance(patient.vault, Away):
        return not_known(patient.vault)
    if found.account is None:
        return not_known(Away("the provider's key may not tell of which account it is"))
    pinned = patient.vault.pinned_account
    if pinned is None:
        return ok("no payment was made yet, so any account will do")
    if pinned != found.account:
        return wrong(
            "the provider's key is of another account than the one that our payments are at",
            "Set that one's key, or use another database.",
        )
    return ok("the provider's key is of the account that our payments are at")


@_of_key
def clock(_: Patient, found: KeyFacts) -> Said:
    if found.skew is None:
        return not_known(Away("the provider's answers bore no time"))
    if abs(found.skew.ahead) - found.skew.within > CLOCK_MOST:
        side = "behind" if found.skew.ahead > timedelta(0) else "ahead of"
        seconds = abs(found.skew.ahead).total_seconds()
        return wrong(
            f"this machine's clock is {seconds:.0f} seconds {side} the provider's",
            "See that it is kept in time, by NTP say.",
        )
    return ok("this machine's clock and the provider's agree")


def endpoint(patient: Patient) -> Said:
    found = patient.endpoints
    if isinstance(found, Away):
        return not_known(found)
    if not found:
        return wrong("the provider sends our events nowhere: no endpoint is at our address", _FIX)
    if len(found) > 1:
        return wrong(
            f"there are {len(found)} endpoints at our address, so every event comes once for each",
            "Delete all but one at the provider.",
        )
    (only,) = found
    if only.version_fault:
        return wrong(
            f"endpoint {only.provider_reference}: {only.version_fault}",
            "Delete it at the provider, and register again.",
        )
    if only.faults:
        return wrong(f"endpoint {only.provider_reference}: {'; '.join(only.faults)}", _FIX)
    return ok(f"endpoint {only.provider_reference} gets our events, at our version")


def signing_secret(patient: Patient) -> Said:
    secrets = patient.settings.stripe_webhook_secrets
    if not secrets:
        return wrong("PAYGATE_STRIPE_WEBHOOK_SECRETS is not set: the gateway does not start", _FIX)
    if len(secrets) > 1:
        return warning(
            f"{len(secrets)} signing secrets are accepted at once",
            "Take the old one out when its overlap is over.",
        )
    return ok("one signing secret is accepted")
