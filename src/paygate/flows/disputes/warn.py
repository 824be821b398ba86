"""Tell people of an early fraud warning, once, and only while a refund still helps.

The charge is read again before anybody is advised: a warning may come after the dispute that it
warned of, or after the refund, and be told several times.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from paygate.domain.access.roles import Caller
from paygate.domain.alert import AlertType, name_of
from paygate.domain.disputes.outcome import FraudWarning
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context, intent_subject
from paygate.flows.disputes.problems import fraud_warned
from paygate.providers.absence import Absent
from paygate.storage.disputes import DisputeFilters
from paygate.storage.pages import newest

LATEST: Final = 20
"""Among so many of the merchant's newest disputes one is looked for that tells what its fee was."""


class Warned(StrEnum):
    """What became of a warning; the words stand in an event's record."""

    TOLD = "told"
    TOLD_BEFORE = "told_before"
    TOO_LATE = "nothing_left_to_spare"
    """The payment is disputed, or all refunded: a refund spares nothing."""
    FOREIGN = "foreign"
    ORPHAN = "orphan"
    ABSENT = "no_such_warning"
    UNRESOLVED = "provider_unreachable"


class Heeded(NamedTuple):
    """What became of a warning, and the payment that it is about."""

    warned: Warned
    intent: PaymentIntent | None = None


async def warn_of_fraud(ctx: Context, caller: Caller, reference: str) -> Heeded:
    """Read a warning at the provider, and raise its alert for the payment's merchant."""
    found = await ctx.provider.retrieve_fraud_warning(
        reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(found, Absent):
        return Heeded(Warned.ABSENT)
    if not isinstance(found, FraudWarning):
        return Heeded(Warned.UNRESOLVED)
    intent = None
    if found.payment_reference is not None:
        intent = await ctx.read.payment_intent_by_provider_reference(found.payment_reference)
    if intent is None:
        ours = found.installation == ctx.installation
        return Heeded(Warned.ORPHAN if ours else Warned.FOREIGN)
    if not _helps(found, intent):
        return Heeded(Warned.TOO_LATE, intent)
    subject = intent_subject(intent.id)
    name = name_of(AlertType.EARLY_FRAUD_WARNING, subject, None)
    if await ctx.read.alert_standing(intent.merchant, name) is not None:
        return Heeded(Warned.TOLD_BEFORE, intent)
    whose = Caller(caller.actor, intent.merchant, caller.request_id, caller.address)
    await raise_alert(ctx, whose, fraud_warned(intent, found, await _last_fee(ctx, intent)))
    return Heeded(Warned.TOLD, intent)


def _helps(warning: FraudWarning, intent: PaymentIntent) -> bool:
    """Whether a refund may still spare the dispute, by the provider's word and by our records."""
    open_there = warning.actionable and not warning.charge_disputed
    return open_there and intent.disputes == 0 and intent.amount_refundable > 0


async def _last_fee(ctx: Context, intent: PaymentIntent) -> tuple[int, str] | None:
    """What the merchant's last dispute with a fee cost; None when none tells."""
    cut, every = newest("dispute", LATEST), DisputeFilters()
    page = await ctx.disputes.disputes(intent.merchant, cut, every)
    fees = (
        (sums.fee, currency)
        for dispute in page.items
        for currency, sums in dispute.sums.items()
        if sums.fee > 0
    )
    return next(fees, None)
