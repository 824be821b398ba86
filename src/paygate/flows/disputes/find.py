"""What a dispute at the provider is here: one that is recorded, a new one of a payment of ours, an
orphan that bears our mark and that nothing here knows, or foreign.

Disputes bear no mark of ours: their charge does, and a look-up shows it.
"""

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from paygate.crypto.encoding import length_prefixed
from paygate.domain.access.roles import Action, Caller
from paygate.domain.disputes.conclusion import (
    DisputeMoved,
    DisputeUnmoved,
    conclude_dispute,
    record,
    unfamiliar,
)
from paygate.domain.disputes.dispute import OPEN, Dispute
from paygate.domain.disputes.outcome import DisputeAnswer, Disputed, DisputeUnfamiliar
from paygate.domain.ids import PREFIXES, id_from
from paygate.domain.money import EXPONENTS, Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.disputes.commit import commit_dispute
from paygate.flows.disputes.prefill import prefilled_texts
from paygate.flows.disputes.problems import backwards, money_missing
from paygate.providers.absence import Absent
from paygate.storage.change import Impossible, StorageError

TAKEN: Final = frozenset({"dispute_provider_reference", "dispute_pkey"})
"""What a record runs into when the dispute was recorded at the same moment."""


class Finding(StrEnum):
    """What became of a dispute that the provider showed; the words stand in an event's record."""

    APPLIED = "applied"
    RECORDED = "recorded"
    """It is one of ours from now on."""
    NOTHING_NEW = "nothing_new"
    STALE = "older_than_applied"
    BACKWARDS = "chargeback_called_inquiry"
    FOREIGN = "foreign"
    """Of a payment that is not ours."""
    ORPHAN = "orphan"
    """Its charge bears our mark, and no payment here knows it."""
    PAYMENT_FIRST = "payment_first"
    """The intent does not know of its own money yet: the payment is looked up first."""
    UNRESOLVED = "provider_unreachable"
    UNFAMILIAR = "dispute_not_understood"
    """It is new here, and stands in a word that means nothing to us."""


_UNMOVED: Final = {
    DisputeUnmoved.NOTHING_NEW: Finding.NOTHING_NEW,
    DisputeUnmoved.STALE: Finding.STALE,
    DisputeUnmoved.TIE: Finding.UNRESOLVED,
    DisputeUnmoved.BACKWARDS: Finding.BACKWARDS,
    DisputeUnmoved.PAYMENT_FIRST: Finding.PAYMENT_FIRST,
}


class Found(NamedTuple):
    """What became of it, and the dispute and intent that it was found to be."""

    finding: Finding
    intent: PaymentIntent | None = None
    dispute: Dispute | None = None


async def apply_dispute(ctx: Context, caller: Caller, answer: DisputeAnswer) -> Found:
    """Bring what the provider shows of a dispute to our records, each step in a commit of its own:
    done twice, that finds nothing new. What of the same second may be older is asked for anew.

    `caller` acts for whichever merchant the dispute turns out to be of.
    """
    patience = Patience(
        "a payment kept changing while its dispute was applied",
        end=StorageError,
        seconds=CONCLUDING_SECONDS,
    )
    applied: Finding | None = None
    asked_at: int | None = None  # the version that stood when the provider was asked from here
    while True:
        intent, dispute = await whose_dispute(ctx, answer)
        if intent is None:
            ours = answer.installation == ctx.installation
            return Found(Finding.ORPHAN if ours else Finding.FOREIGN)
        whose = Caller(caller.actor, intent.merchant, caller.request_id, caller.address)
        version = 0 if dispute is None else dispute.version
        newest = version == asked_at  # what others have applied since may be newer
        effect = _effect(ctx, intent, dispute, answer, fetched=newest)
        if effect is DisputeUnmoved.TIE and not newest:
            told = await fetched_dispute(ctx, answer.provider_reference)
            if not isinstance(told, DisputeAnswer):
                return Found(applied or Finding.UNRESOLVED, intent, dispute)
            answer, asked_at = told, version
            continue
        if not isinstance(effect, DisputeMoved):
            await _tell(ctx, whose, answer, effect, dispute)
            said = effect if isinstance(effect, Finding) else _UNMOVED[effect]
            return Found(applied or said, intent, dispute)
        if effect.was is None:
            texts = await prefilled_texts(ctx, intent)
            new = msgspec.structs.replace(effect.dispute, texts=texts)
            effect = msgspec.structs.replace(effect, dispute=new)
        if await _commit(ctx, whose, effect):
            applied = applied or (Finding.RECORDED if effect.was is None else Finding.APPLIED)
            asked_at = effect.dispute.version if newest else asked_at
            continue
        await patience.pause()


async def fetched_dispute(
    ctx: Context, provider_reference: str | None
) -> DisputeAnswer | Absent | Unknown:
    """The dispute as it stands at the provider now, if the provider tells."""
    if provider_reference is None:
        return Unknown("the dispute is not named")
    found = await ctx.provider.retrieve_dispute(
        provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(found, Absent):
        return found
    if isinstance(found.outcome, Disputed | DisputeUnfamiliar):
        return found
    return Unknown("the provider did not tell of the dispute")


async def is_recorded(ctx: Context, answer: DisputeAnswer) -> bool:
    """Whether the dispute is one of ours already."""
    reference = answer.provider_reference
    if reference is None:
        return False
    return await ctx.disputes.dispute_by_provider_reference(reference) is not None


async def apply_disputes_of(ctx: Context, caller: Caller, payment_reference: str) -> None:
    """Bring all that the provider has of a payment's disputes to our records, the oldest first.

    Raises:
        ProviderSilent: the list could not be read to its end; nothing was applied.
    """
    await ctx.pace.turn()
    listing = ctx.provider.list_disputes(
        payment_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    for answer in reversed([each async for each in listing]):
        await apply_dispute(ctx, caller, answer)


async def whose_dispute(
    ctx: Context, answer: DisputeAnswer
) -> tuple[PaymentIntent | None, Dispute | None]:
    """The dispute that this is, with its intent: by the provider's id, else by its payment."""
    if answer.provider_reference is not None:
        found = await ctx.disputes.dispute_by_provider_reference(answer.provider_reference)
        if found is not None:
            both = await ctx.disputes.dispute_with_intent(found.merchant, found.id)
            assert both is not None, "payments and disputes are never deleted"
            return both
    if answer.payment_reference is None:
        return None, None
    of = await ctx.read.payment_intent_by_provider_reference(answer.payment_reference)
    return of, None


def _effect(
    ctx: Context,
    intent: PaymentIntent,
    dispute: Dispute | None,
    answer: DisputeAnswer,
    *,
    fetched: bool,
) -> DisputeMoved | DisputeUnmoved | Finding:
    """What the answer makes of the dispute, as the records stand."""
    said, as_of, now = answer.outcome, answer.as_of, ctx.now()
    if isinstance(said, DisputeUnfamiliar):
        if dispute is None:
            return Finding.UNFAMILIAR
        return unfamiliar(intent, dispute, said.status, as_of, now)
    if not isinstance(said, Disputed) or said.currency not in EXPONENTS:
        return Finding.UNRESOLVED
    if dispute is not None:
        return conclude_dispute(intent, dispute, said, as_of, now, fetched=fetched)
    if answer.provider_reference is None:
        return Finding.UNRESOLVED
    return record(intent, _new(ctx, intent, answer, said), said.rows)


def _new(ctx: Context, intent: PaymentIntent, answer: DisputeAnswer, said: Disputed) -> Dispute:
    """The first version of a dispute, without its money."""
    reference, now = answer.provider_reference, ctx.now()
    assert reference is not None, "what is recorded has the provider's id"
    return Dispute(
        id=_id_of(ctx, intent, reference),
        merchant=intent.merchant,
        livemode=intent.livemode,
        intent=intent.id,
        kind=said.kind,
        status=said.status,
        reason=said.reason,
        amount=said.amount,
        currency=Currency(said.currency),
        provider_reference=reference,
        created_at=now,
        updated_at=now,
        provider_reason=said.provider_reason,
        network_reason_code=said.network_reason_code,
        case_type=said.case_type,
        compliance=said.compliance,
        refundable=said.refundable,
        provider_created_at=said.created_at,
        provider_as_of=answer.as_of,
        closed_at=None if said.status in OPEN else now,
        evidence_due_by=said.evidence_due_by,
        past_due=said.past_due,
        submission_count=said.submission_count,
        submitted_at=now if said.submission_count else None,
    )


def _id_of(ctx: Context, intent: PaymentIntent, reference: str) -> str:
    """Our id of a dispute: one for each of the provider's, whoever finds it first and whatever this
    database has forgotten.
    """
    name = length_prefixed("dispute", intent.merchant, intent.provider, reference)
    return id_from(PREFIXES["dispute"], ctx.index.name(name))


async def _commit(ctx: Context, caller: Caller, moved: DisputeMoved) -> bool:
    action = Action.DISPUTE_RECORD if moved.was is None else Action.DISPUTE_FOLLOW
    try:
        return await commit_dispute(ctx, caller, action, moved)
    except Impossible as error:
        if error.constraint not in TAKEN:
            raise
        return False


async def _tell(
    ctx: Context,
    caller: Caller,
    answer: DisputeAnswer,
    effect: DisputeUnmoved | Finding,
    dispute: Dispute | None,
) -> None:
    """Alert for what no move tells of."""
    if dispute is None:
        return
    if effect is DisputeUnmoved.BACKWARDS and isinstance(answer.outcome, Disputed):
        await raise_alert(ctx, caller, backwards(dispute, answer.outcome))
    if dispute.lacks_money:
        await raise_alert(ctx, caller, money_missing(dispute))
