"""What our own records say of a provider event: nobody is asked, and nothing is written.

An event that changes nothing is ended by that, where it is received or where it is applied; all
others go on to their effect (`apply`). So there is one judge of both.
"""

from typing import Final, NamedTuple

from paygate.domain.disputes.outcome import DisputeAnswer
from paygate.domain.payments.attempt import OPEN, Attempt, Operation
from paygate.domain.payments.outcome import Answer, Approved, Cancelled, Declined, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_event import NO_HANDLER, EventStatus
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.flows.context import Context
from paygate.flows.payments.attempt.apply_answer import Verdict, glance
from paygate.flows.refunds.find import is_foreign
from paygate.providers.contract import Notice

FOREIGN: Final = "foreign"
TELLS_TOO_LITTLE: Final = "dispute_tells_too_little"
"""The verdict on news of a dispute that does not name it: nothing can be looked up."""
_ENDS: Final = {Verdict.STALE: EventStatus.STALE, Verdict.MISMATCH: EventStatus.DEAD_LETTER}
"""How an event ends whose answer had such a verdict; with all others it is processed."""
_NO_MONEY: Final = (Declined, Cancelled)


class PutOff(Exception):
    """The event cannot be applied now; the reason is a stable word."""


class NotKnownYet(PutOff):
    """What the event is about bears our mark, and is not recorded here."""

    def __init__(self, *, orphan: bool = False) -> None:
        """`orphan`: it may be money, which nobody else will ask about if it stays unknown."""
        super().__init__("object_unknown")
        self.orphan = orphan


class Ended(NamedTuple):
    """The end of an event that changes nothing beside itself. `intent` is the payment that it was
    judged by.
    """

    status: EventStatus
    verdict: str
    intent: PaymentIntent | None = None


class About(NamedTuple):
    """The payment of an event that may change it, or must be asked about first."""

    intent: PaymentIntent
    attempt: Attempt
    answer: Answer
    exact: bool
    """Whether the answer is applied as it is; else the object is fetched in its place."""
    asks: bool
    """Whether the provider is asked before the event has an effect."""


class MoneyLeftWith(NamedTuple):
    """The provider's customer on whose account money has come to lie."""

    customer_reference: str


class OfRefund(NamedTuple):
    """News of a refund. `exact`: the answer is applied as it is; else the refund is fetched."""

    answer: RefundAnswer
    exact: bool


class OfDispute(NamedTuple):
    """News of a dispute. `exact`: the answer is applied as it is; else the dispute is fetched."""

    answer: DisputeAnswer
    exact: bool


class OfFraudWarning(NamedTuple):
    """News of an early fraud warning, by the provider's id of the warning."""

    provider_reference: str


class OfPayout(NamedTuple):
    """News of a payout, by the provider's id of it."""

    provider_reference: str


class Unplaced(NamedTuple):
    """News of a payment that is not recorded. While the answer to a call of ours is not known it
    may be that call's, and then the payment itself bears our mark.
    """

    provider_reference: str


class Stranger(NamedTuple):
    """Money of a payment that is not ours, on an account that is ours alone."""

    answer: Answer


OfOtherRecord = OfRefund | OfDispute | OfFraudWarning | OfPayout
Seen = Ended | About | MoneyLeftWith | OfOtherRecord | Unplaced | Stranger


async def look(ctx: Context, notice: Notice) -> Seen:
    """What our own records say of a notice.

    Raises:
        NotKnownYet: it bears our mark, and is not recorded.
    """
    answer = notice.answer
    if (other := await _of_another_record(ctx, notice)) is not None:
        return other
    if answer is None or not _is_ours_to_read(ctx, notice):
        return _of_no_payment(ctx, notice)
    found = await whose(ctx, answer, orphan=notice.handled and not _no_money(answer))
    if found is None:
        return await _foreign(ctx, notice, answer)
    intent, attempt = found
    if not notice.handled:
        return Ended(EventStatus.IGNORED, NO_HANDLER, intent)
    if not notice.exact or _tells_too_little(attempt, answer):
        return About(intent, attempt, answer, exact=False, asks=True)
    verdict, asks = glance(ctx, intent, attempt, answer)
    if verdict is None or isinstance(answer.outcome, Unknown):
        # A part of the payment shows that something changes; what does, the whole alone tells.
        part = notice.of_a_part
        return About(intent, attempt, answer, exact=not part, asks=asks or part)
    return ended(verdict, intent)


async def _of_another_record(ctx: Context, notice: Notice) -> Ended | OfOtherRecord | None:
    """What a notice tells of what has a record of its own beside the payment's; else None."""
    if not _is_ours_to_read(ctx, notice):
        return None
    if notice.refund is not None:
        if await is_foreign(ctx, notice.refund) and not await is_any_in_doubt(ctx):
            return Ended(EventStatus.IGNORED, FOREIGN)
        return OfRefund(notice.refund, notice.exact)
    if notice.dispute is not None:
        if notice.dispute.provider_reference is None:
            return Ended(EventStatus.DEAD_LETTER, TELLS_TOO_LITTLE)
        return OfDispute(notice.dispute, notice.exact)
    if notice.fraud_warning is not None:
        return OfFraudWarning(notice.fraud_warning.provider_reference)
    if notice.payout is not None:
        return OfPayout(notice.payout)
    return None


def _is_ours_to_read(ctx: Context, notice: Notice) -> bool:
    return notice.livemode is ctx.provider.livemode and not notice.of_another_account


def _of_no_payment(ctx: Context, notice: Notice) -> Ended | MoneyLeftWith:
    """Of what a payment says nothing, or none that could be ours."""
    if notice.livemode is not ctx.provider.livemode:
        return Ended(EventStatus.IGNORED, "other_mode")
    if notice.of_another_account:
        return Ended(EventStatus.IGNORED, "other_account")
    if notice.money_left_with is not None:
        return MoneyLeftWith(notice.money_left_with)
    return Ended(EventStatus.IGNORED, "type_not_used" if notice.handled else NO_HANDLER)


def ended(verdict: Verdict, intent: PaymentIntent) -> Ended:
    """How an event ends by what its answer made of a payment."""
    return Ended(_ENDS.get(verdict, EventStatus.PROCESSED), verdict, intent)


async def whose(
    ctx: Context, answer: Answer, *, orphan: bool = False
) -> tuple[PaymentIntent, Attempt] | None:
    """Whose payment the event's object is: an intent and its attempt, or None when it is not ours.

    A payment whose id we recorded is ours, whatever its metadata bear: people can edit them.

    Raises:
        NotKnownYet: it bears our mark, and is not recorded; `orphan` is passed on.
    """
    ours = answer.installation == ctx.installation
    found = None
    if ours and answer.merchant is not None and answer.attempt is not None:
        found = await ctx.read.attempt_with_intent(answer.merchant, answer.attempt)
    if found is None or found[0].provider_reference != answer.provider_reference:
        found = await _recorded(ctx, answer) or found
    if found is None and ours:
        raise NotKnownYet(orphan=orphan)
    if found is None:
        return None
    intent, attempt = found
    same = answer.provider_reference == intent.provider_reference
    if attempt.state not in OPEN and same and intent.attempt not in {None, attempt.id}:
        # A capture or a cancel of what this attempt was approved for.
        return intent, await _attempt(ctx, intent)
    return intent, attempt


async def _recorded(ctx: Context, answer: Answer) -> tuple[PaymentIntent, Attempt] | None:
    """The intent that rests on the object, and its latest attempt, by the provider's own id."""
    if answer.provider_reference is None:
        return None
    intent = await ctx.read.payment_intent_by_provider_reference(answer.provider_reference)
    return None if intent is None else (intent, await _attempt(ctx, intent))


async def _attempt(ctx: Context, intent: PaymentIntent) -> Attempt:
    assert intent.attempt is not None, "what rests on a payment was confirmed"
    attempt = await ctx.read.attempt(intent.merchant, intent.attempt)
    assert attempt is not None, "payments are never deleted"
    return attempt


async def _foreign(ctx: Context, notice: Notice, answer: Answer) -> Ended | Unplaced | Stranger:
    """What is not recorded and does not bear our mark."""
    named = answer.provider_reference
    # Disputes and the like bear no mark: their payment does.
    if not notice.handled and named is not None and await is_any_in_doubt(ctx):
        return Unplaced(named)
    if ctx.policy.exclusive_account and notice.handled and _is_told_of_once(notice, answer):
        return Stranger(answer)
    return Ended(EventStatus.IGNORED, FOREIGN)


async def is_any_in_doubt(ctx: Context) -> bool:
    """Whether the answer to a call of ours is not known, so that a payment may be ours that no
    record names yet.
    """
    doubt = await ctx.read.attempts_in_doubt(ctx.now(), None, 1)
    return bool(doubt.records or doubt.unread)


def _is_told_of_once(notice: Notice, answer: Answer) -> bool:
    """Whether an event is the one that tells of a payment's money: of a charge that belongs to a
    payment, the payment's own event is.
    """
    part = notice.of_a_part and answer.provider_reference is not None
    return isinstance(answer.outcome, Approved) and not part


def _no_money(answer: Answer) -> bool:
    return isinstance(answer.outcome, _NO_MONEY)


def _tells_too_little(attempt: Attempt, answer: Answer) -> bool:
    """An approval that only the event brings has no card in it; the object has."""
    outcome = answer.outcome
    return (
        attempt.operation is Operation.CONFIRM
        and attempt.state in OPEN
        and isinstance(outcome, Approved)
        and outcome.payment_method is None
    )
