"""What a refund at the provider is here: one of ours, one that somebody made there, or foreign.

Whoever made it, its money is no longer the merchant's: a refund of the provider's dashboard becomes
a refund of ours, with its place in the ledger (actor: the provider).
"""

from enum import StrEnum
from typing import Final, NamedTuple

from paygate.crypto.encoding import length_prefixed
from paygate.domain.access.roles import Action, Caller
from paygate.domain.ids import PREFIXES, id_from, is_id
from paygate.domain.money import EXPONENTS, Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import RefundMoved, RefundUnmoved, adopt, state_of
from paygate.domain.refunds.expected import expected_by
from paygate.domain.refunds.outcome import RefundAnswer, RefundFailed
from paygate.domain.refunds.refund import Refund, RefundFailure, RefundReason, RefundState
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.refunds.commit import commit_refund
from paygate.flows.refunds.conclude import REFERENCE_TAKEN, conclude
from paygate.storage.change import Impossible, StorageError

TAKEN: Final = frozenset({REFERENCE_TAKEN, "refund_pkey"})
"""What an adoption runs into when the refund was adopted at the same moment."""


class Finding(StrEnum):
    """What became of a refund that the provider showed; the words stand in an event's record."""

    APPLIED = "applied"
    ADOPTED = "adopted"
    """It was made at the provider, and is one of ours from now on."""
    NOTHING_NEW = "nothing_new"
    STALE = "older_than_applied"
    MISMATCH = "amount_or_currency_mismatch"
    FOREIGN = "foreign"
    """Of a payment that is not ours."""
    PAYMENT_FIRST = "payment_first"
    """The intent does not know of its own money yet: the payment is looked up first."""
    UNRESOLVED = "provider_unreachable"
    UNREADABLE = "refund_tells_too_little"
    """It names no amount, so nothing is booked for it."""


_UNMOVED: Final = {
    RefundUnmoved.NOTHING_NEW: Finding.NOTHING_NEW,
    RefundUnmoved.STALE: Finding.STALE,
    RefundUnmoved.TIE: Finding.UNRESOLVED,
    RefundUnmoved.MISMATCH: Finding.MISMATCH,
    RefundUnmoved.PAYMENT_FIRST: Finding.PAYMENT_FIRST,
}


class Found(NamedTuple):
    """What became of it, and the refund and intent that it was found to be."""

    finding: Finding
    intent: PaymentIntent | None = None
    refund: Refund | None = None


async def apply_refund(ctx: Context, caller: Caller, answer: RefundAnswer) -> Found:
    """Bring what the provider shows of a refund to our records, in a commit of its own.

    `caller` acts for whichever merchant the refund turns out to be of.
    """
    patience = Patience(
        "a payment kept changing while a refund was adopted",
        end=StorageError,
        seconds=CONCLUDING_SECONDS,
    )
    while True:
        known = await _known(ctx, answer)
        if known is not None:
            intent, refund = known
            whose = caller_for(caller, intent.merchant)
            action = Action.REFUND_RESOLVE
            after, unmoved = await conclude(ctx, whose, action, intent, refund, answer)
            finding = Finding.APPLIED if unmoved is None else _UNMOVED[unmoved]
            return Found(finding, intent, after)
        payment, of = answer.payment_reference, None
        if payment is not None:
            of = await ctx.read.payment_intent_by_provider_reference(payment)
        if of is None:
            ours = answer.installation == ctx.installation
            return Found(Finding.PAYMENT_FIRST if ours else Finding.FOREIGN)
        adopted = await _adopt(ctx, caller_for(caller, of.merchant), of, answer)
        if adopted is not None:
            return adopted
        await patience.pause()


async def is_foreign(ctx: Context, answer: RefundAnswer) -> bool:
    """Whether the refund bears no mark of ours, is none that we know, and of no payment of ours."""
    if answer.installation == ctx.installation or await _known(ctx, answer) is not None:
        return False
    return not await would_be_adopted(ctx, answer)


async def would_be_adopted(ctx: Context, answer: RefundAnswer) -> bool:
    """Whether the refund is none that we know, of a payment of ours."""
    if answer.payment_reference is None or await _known(ctx, answer) is not None:
        return False
    of = await ctx.read.payment_intent_by_provider_reference(answer.payment_reference)
    return of is not None


async def apply_refunds_of(ctx: Context, caller: Caller, payment_reference: str) -> None:
    """Bring all that the provider has of a payment's refunds to our records, the oldest first.

    Raises:
        ProviderSilent: the list could not be read to its end; nothing was applied.
    """
    await ctx.pace.turn()
    listing = ctx.provider.list_refunds(
        payment_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    for answer in reversed([each async for each in listing]):
        await apply_refund(ctx, caller, answer)


def caller_for(caller: Caller, merchant: str) -> Caller:
    """The same caller, at work for a merchant."""
    return Caller(caller.actor, merchant, caller.request_id, caller.address)


async def _known(ctx: Context, answer: RefundAnswer) -> tuple[PaymentIntent, Refund] | None:
    """The refund that this is, with its intent: by the provider's id, else by our mark on it."""
    found: Refund | None = None
    if answer.provider_reference is not None:
        found = await ctx.refunds.refund_by_provider_reference(answer.provider_reference)
    ours = answer.installation == ctx.installation
    if found is None and ours and answer.refund is not None and answer.merchant is not None:
        found = await ctx.refunds.refund(answer.merchant, answer.refund)
        if found is not None and found.provider_reference not in {None, answer.provider_reference}:
            found = None  # a copy of our mark on a refund of somebody else's
    if found is None:
        return None
    both = await ctx.refunds.refund_with_intent(found.merchant, found.id)
    assert both is not None, "payments and refunds are never deleted"
    known = both[1].provider_reference == answer.provider_reference
    of_its_payment = answer.payment_reference in {None, both[0].provider_reference}
    return both if known or of_its_payment else None


async def _adopt(
    ctx: Context, caller: Caller, intent: PaymentIntent, answer: RefundAnswer
) -> Found | None:
    """The refund that was made at the provider, as one of ours; None when others were at work."""
    refund = await _external(ctx, intent, answer)
    if refund is None:
        return Found(Finding.UNREADABLE, intent)
    moved = adopt(intent, refund)
    if not isinstance(moved, RefundMoved):
        return Found(_UNMOVED[moved], intent)
    try:
        if await commit_refund(ctx, caller, Action.REFUND_CREATE, moved):
            return Found(Finding.ADOPTED, moved.intent, moved.refund)
    except Impossible as error:
        if error.constraint not in TAKEN:
            raise
    return None


async def _external(ctx: Context, intent: PaymentIntent, answer: RefundAnswer) -> Refund | None:
    """The record of a refund that somebody made at the provider; None when that does not tell what
    it is.
    """
    reference, amount, currency = answer.provider_reference, answer.amount, answer.currency
    if reference is None or amount is None or amount < 1 or currency not in EXPONENTS:
        return None
    if isinstance(answer.outcome, Unknown) or currency != intent.currency:
        return None
    state, now = state_of(answer.outcome), ctx.now()
    failure = None
    if isinstance(answer.outcome, RefundFailed):
        failure = RefundFailure(answer.outcome.code, answer.outcome.message)
    assert state in {RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED}, state
    marked = await _forgotten(ctx, intent, answer)
    reasons = {reason.value: reason for reason in RefundReason}
    return Refund(
        id=marked or _id_of_theirs(ctx, intent, reference),
        merchant=intent.merchant,
        livemode=intent.livemode,
        intent=intent.id,
        amount=amount,
        currency=Currency(str(currency)),
        state=state,
        created_at=now,
        updated_at=now,
        expected_by=expected_by((answer.created_at or now).date(), intent.payment_method),
        reason=reasons.get(answer.reason or ""),
        failure=failure,
        provider_reference=reference,
        provider_as_of=answer.as_of,
        tracking_reference=answer.tracking_reference,
        external=marked is None,
    )


async def _forgotten(ctx: Context, intent: PaymentIntent, answer: RefundAnswer) -> str | None:
    """The id that the refund had here before the database was put back to a backup; None when it is
    none that we made. Whoever asks for it again under the same key finds it.
    """
    marked = (answer.installation, answer.merchant) == (ctx.installation, intent.merchant)
    if not marked or answer.refund is None or not is_id(PREFIXES["refund"], answer.refund):
        return None
    there = await ctx.refunds.refund(intent.merchant, answer.refund)
    return answer.refund if there is None else None


def _id_of_theirs(ctx: Context, intent: PaymentIntent, reference: str) -> str:
    """Our id of a refund that was made at the provider: one for each, whoever finds it first."""
    name = length_prefixed("external_refund", intent.merchant, intent.provider, reference)
    return id_from(PREFIXES["refund"], ctx.index.name(name))
