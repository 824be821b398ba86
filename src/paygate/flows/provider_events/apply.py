"""Apply a provider event that was received: once, in any order, and never a step backwards.

An event is decided on in two stages. `look` reads our own records alone, and ends an event that
changes nothing, here or where the event is received; all other events go on to their effect, here.
One commit holds the event's end and the payment's change, so both become true together. An event
is put off when the obstacle may pass (an unreachable provider, an object that is not known yet),
with the next try enqueued in the same commit; any other fault makes it a dead letter.
"""

from datetime import timedelta
from typing import Final, assert_never

from msgspec.structs import replace

from paygate.domain import provider_event
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import Occurrence
from paygate.domain.audit import Subject
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_event import (
    NO_HANDLER,
    NOT_UNDERSTOOD,
    RETRIES_EXHAUSTED,
    WAITING,
    EventStatus,
    ProviderEvent,
)
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience, intent_subject
from paygate.flows.payments.attempt.apply_answer import Verdict, apply_answer
from paygate.flows.payments.attempt.begin import is_under_way
from paygate.flows.payments.attempt.consequences import NOTHING, Consequences, alert_about
from paygate.flows.payments.attempt.work import Work
from paygate.flows.provider_events.disputes import Heard, hear_of_dispute, hear_of_fraud
from paygate.flows.provider_events.look import (
    FOREIGN,
    About,
    Ended,
    MoneyLeftWith,
    NotKnownYet,
    OfDispute,
    OfFraudWarning,
    OfOtherRecord,
    OfPayout,
    OfRefund,
    PutOff,
    Seen,
    Stranger,
    Unplaced,
    ended,
    is_any_in_doubt,
    look,
    whose,
)
from paygate.flows.provider_events.payouts import hear_of_payout
from paygate.flows.provider_events.problems import excess, given_up, orphaned, stranger
from paygate.flows.refunds.commit import refund_subject
from paygate.flows.refunds.find import Finding, apply_refund, would_be_adopted
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.providers.absence import Absent
from paygate.storage.change import Change, Committed, StorageError

_REFUND_ENDS: Final = {
    Finding.FOREIGN: EventStatus.IGNORED,
    Finding.STALE: EventStatus.STALE,
    Finding.MISMATCH: EventStatus.DEAD_LETTER,
    Finding.UNREADABLE: EventStatus.DEAD_LETTER,
}
"""How an event ends by what its refund was found to be; by all else it is processed."""
NO_SUCH_REFUND: Final = "no_such_refund"
"""The verdict on news of a refund that the provider does not have: of a rehearsal, or another
account's.
"""
COME_BACK: Final = timedelta(seconds=1)
"""How long an event is left alone when an answer under way will tell the same."""


class _AnswerUnderWay(Exception):
    """The answer to our own call is about to tell what the event would ask the provider for."""


async def apply_provider_event(
    ctx: Context, message: ApplyProviderEvent, of: frozenset[EventStatus] = WAITING
) -> timedelta | None:
    """Bring one event to its end, or put it off, when it is of these statuses. Returns how long it
    is to be left alone when it was not tried, because its payment's own answer is under way.
    """
    tried: int | None = None
    patience = Patience(
        "a payment kept changing while an event was applied",
        end=StorageError,
        seconds=CONCLUDING_SECONDS,
    )
    while True:
        event = await ctx.read.provider_event(message.merchant, message.event)
        if event is None or event.status not in of:
            return None
        if tried is not None and event.attempts != tried:
            return None  # a try at the same time has put it off: a second would use up its tries
        tried = event.attempts
        try:
            change = await _change(ctx, event)
        except _AnswerUnderWay:
            return COME_BACK
        if isinstance(await ctx.door.commit(change), Committed):
            return None
        await patience.pause()


async def _change(ctx: Context, event: ProviderEvent) -> Change:
    """The change that applying the event makes now."""
    body = await ctx.read.provider_event_body(event)
    if body is None:
        return end(ctx, event, Ended(EventStatus.DEAD_LETTER, "body_gone"))
    try:
        notice = ctx.provider.read_event(body)
    except ValueError:
        return end(ctx, event, Ended(EventStatus.DEAD_LETTER, "malformed"))
    try:
        return await _effect(ctx, event, await look(ctx, notice))
    except PutOff as reason:
        return put_off(ctx, event, reason)


async def _effect(ctx: Context, event: ProviderEvent, seen: Seen) -> Change:
    """What an event makes true by what our records say of it.

    Raises:
        PutOff: the provider must be asked first, and did not answer.
    """
    match seen:
        case Ended():
            return end(ctx, event, seen)
        case About():
            return await _of_payment(ctx, event, seen)
        case MoneyLeftWith():
            return await _money_left(ctx, event, seen.customer_reference)
        case OfRefund() | OfDispute() | OfFraudWarning() | OfPayout():
            return await _of_other_record(ctx, event, seen)
        case Unplaced():
            return end(ctx, event, await _placed(ctx, seen.provider_reference))
        case Stranger():
            alert = alert_about(ctx, event.merchant, stranger(event, seen.answer))
            return end(ctx, event, Ended(EventStatus.IGNORED, FOREIGN), alert)
        case _:
            assert_never(seen)


async def _of_other_record(ctx: Context, event: ProviderEvent, seen: OfOtherRecord) -> Change:
    """The event's end, after what has a record of its own was applied in commits of its own.

    Raises:
        PutOff: the provider must be asked first, and did not answer.
    """
    caller = Caller(_actor(ctx), event.merchant, request_id=event.id)
    match seen:
        case OfRefund():
            return await _of_refund(ctx, event, seen)
        case OfDispute():
            heard = await hear_of_dispute(ctx, caller, seen.answer, exact=seen.exact)
            return _heard(ctx, event, heard)
        case OfFraudWarning():
            heard = await hear_of_fraud(ctx, caller, seen.provider_reference)
            return _heard(ctx, event, heard)
        case OfPayout():
            heard, jobs = await hear_of_payout(ctx, caller, seen.provider_reference)
            return replace(_heard(ctx, event, heard), jobs=jobs)


async def _of_payment(ctx: Context, event: ProviderEvent, about: About) -> Change:
    intent, attempt, answer = about.intent, about.attempt, about.answer
    if about.asks and is_under_way(ctx, attempt):
        raise _AnswerUnderWay
    if not about.exact:
        answer = await _fetched(ctx, answer.provider_reference)
    caller = Caller(_actor(ctx), intent.merchant, request_id=event.id)
    proof = event.provider_reference
    work = Work(caller, Action.PROVIDER_EVENT_APPLY, intent, attempt)
    applied = await apply_answer(ctx, work, answer, proof=proof)
    outcome = applied.answer.outcome
    # Asked again it says the same; the payment stays as it is, and in the sweeps' hands.
    if isinstance(outcome, Unknown) and outcome.unfamiliar:
        return end(ctx, event, Ended(EventStatus.IGNORED, NOT_UNDERSTOOD, intent))
    if isinstance(outcome, Unknown) and outcome.idle:
        return end(ctx, event, ended(Verdict.NOTHING_NEW, intent))
    if applied.verdict is Verdict.UNRESOLVED or isinstance(outcome, Unknown):
        raise PutOff(Verdict.UNRESOLVED)
    return end(ctx, event, ended(applied.verdict, intent), applied.commits)


async def _of_refund(ctx: Context, event: ProviderEvent, seen: OfRefund) -> Change:
    """The event's end, after its refund was applied in a commit of its own: done twice, that finds
    nothing new.

    Raises:
        PutOff: the refund's payment is not concluded here yet, or the provider does not tell.
    """
    caller = Caller(_actor(ctx), event.merchant, request_id=event.id)
    answer = seen.answer
    if not seen.exact or await would_be_adopted(ctx, answer):
        # What becomes a record of ours by its event alone is there for certain.
        fetched = await _fetched_refund(ctx, answer.provider_reference)
        if fetched is None:
            return end(ctx, event, Ended(EventStatus.IGNORED, NO_SUCH_REFUND))
        answer = fetched
    found = await apply_refund(ctx, caller, answer)
    if found.finding is Finding.UNRESOLVED:
        raise PutOff(Verdict.UNRESOLVED)
    if found.finding is Finding.PAYMENT_FIRST:
        raise NotKnownYet
    if found.finding is Finding.FOREIGN and answer.payment_reference and await is_any_in_doubt(ctx):
        ours = await _placed(ctx, answer.payment_reference)
        if ours.intent is not None:
            raise NotKnownYet  # the intent does not name its payment yet
    subject = None if found.refund is None else refund_subject(found.refund.id)
    status = _REFUND_ENDS.get(found.finding, EventStatus.PROCESSED)
    return _heard(ctx, event, Heard(status, found.finding, subject))


def _heard(ctx: Context, event: ProviderEvent, heard: Heard) -> Change:
    """The event's end, when what it tells of was applied before in a commit of its own."""
    status, verdict, subject = heard
    done = provider_event.ended(event, status, ctx.now(), verdict=str(verdict), subject=subject)
    if status is not EventStatus.DEAD_LETTER:
        return _change_of(ctx, done, NOTHING)
    return _change_of(ctx, done, alert_about(ctx, event.merchant, given_up(done)))


async def _fetched_refund(ctx: Context, provider_reference: str | None) -> RefundAnswer | None:
    """How a refund stands now; None when the provider says that it has no such refund.

    Raises:
        PutOff: the provider does not tell.
    """
    if provider_reference is None:
        raise PutOff(Verdict.UNRESOLVED)
    found = await ctx.provider.retrieve_refund(
        provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(found, Absent):
        return None
    if isinstance(found.outcome, Unknown):
        raise PutOff(Verdict.UNRESOLVED)
    return found


async def _placed(ctx: Context, provider_reference: str) -> Ended:
    """Whose payment it is that news came of, by the mark that the payment bears.

    Raises:
        PutOff: the provider does not tell.
        NotKnownYet: it bears our mark, and is not recorded.
    """
    found = await ctx.provider.retrieve(
        provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(found, Absent):
        return Ended(EventStatus.IGNORED, FOREIGN)
    if found.provider_reference is None:
        raise PutOff(Verdict.UNRESOLVED)
    ours = await whose(ctx, found)
    if ours is None:
        return Ended(EventStatus.IGNORED, FOREIGN)
    return Ended(EventStatus.IGNORED, NO_HANDLER, ours[0])


async def _money_left(ctx: Context, event: ProviderEvent, customer_reference: str) -> Change:
    """The change for money that pays for nothing: an alert about what lies at the provider now."""
    left = await ctx.provider.money_left(
        customer_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(left, Unknown):
        raise PutOff("provider_unreachable")
    if isinstance(left, Absent):
        return end(ctx, event, Ended(EventStatus.IGNORED, FOREIGN))
    payer = _payer(left.customer)
    if left.installation != ctx.installation or payer is None or left.merchant is None:
        return end(ctx, event, Ended(EventStatus.IGNORED, FOREIGN))
    if not await _is_known(ctx, left.merchant, payer):
        raise NotKnownYet
    if not left.amounts:
        return end(ctx, event, Ended(EventStatus.PROCESSED, "nothing_new"))
    alert = alert_about(ctx, left.merchant, excess(payer, left.amounts))
    return end(ctx, event, Ended(EventStatus.PROCESSED, "money_left"), alert)


def _payer(ours: str | None) -> Subject | None:
    """The payer as a subject: a customer, or an intent whose merchant did not name the payer."""
    for kind in ("customer", "payment_intent"):
        if ours is not None and is_id(PREFIXES[kind], ours):
            return Subject(kind, ours)
    return None


async def _is_known(ctx: Context, merchant: str, payer: Subject) -> bool:
    if payer.object == "customer":
        return await ctx.read.customer(merchant, payer.id) is not None
    return await ctx.read.payment_intent(merchant, payer.id) is not None


async def _fetched(ctx: Context, provider_reference: str | None) -> Answer:
    """How the event's object stands now.

    Raises:
        PutOff: the provider does not tell.
    """
    if provider_reference is None:
        raise NotKnownYet
    fetched = await ctx.provider.retrieve(
        provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(fetched, Absent):
        raise PutOff(Verdict.UNRESOLVED)
    return fetched


def end(
    ctx: Context, event: ProviderEvent, ended: Ended, commits: Consequences = NOTHING
) -> Change:
    """The change that ends the event, together with `commits`. A dead letter gets an alert, unless
    its payment has one already: nobody would look for it. The payment must still stand at the
    version that the event was judged by, so that no event ends without the effect that it would
    have by now.
    """
    status, verdict, intent = ended
    subject = None if intent is None else intent_subject(intent.id)
    done = provider_event.ended(event, status, ctx.now(), verdict=verdict, subject=subject)
    has_alert = any(isinstance(each, Occurrence) for each in commits.creates)
    if status is EventStatus.DEAD_LETTER and not has_alert:
        commits = commits.also(alert_about(ctx, event.merchant, given_up(done)))
    moved = any(isinstance(each, PaymentIntent) for each in commits.advances)
    return _change_of(ctx, done, commits, stands=None if moved else intent)


def put_off(ctx: Context, event: ProviderEvent, reason: PutOff) -> Change:
    """The event with its next try, or its end when there was the last one. What is given up
    already is not told of again.
    """
    unknown = isinstance(reason, NotKnownYet)
    orphan = isinstance(reason, NotKnownYet) and reason.orphan
    after, wait = provider_event.put_off(
        event,
        ctx.now(),
        error=str(reason),
        parked=unknown,
        given_up_as=Verdict.ORPHAN_CHARGE if orphan else RETRIES_EXHAUSTED,
    )
    if wait is not None:
        message = ApplyProviderEvent(event.merchant, event.id)
        return _change_of(ctx, after, Consequences(jobs=(Job(message, wait),)))
    if event.status is EventStatus.DEAD_LETTER:
        return _change_of(ctx, after, NOTHING)
    problem = orphaned(after) if orphan else given_up(after)
    return _change_of(ctx, after, alert_about(ctx, event.merchant, problem))


def _change_of(
    ctx: Context, after: ProviderEvent, commits: Consequences, stands: PaymentIntent | None = None
) -> Change:
    subject = Subject("provider_event", after.id)
    caller = Caller(_actor(ctx), after.merchant, request_id=after.id)
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_APPLY, subject)
    return Change(audit, *Consequences(advances=(after,)).also(commits), stands=stands)


def _actor(ctx: Context) -> Actor:
    return Actor("provider", id=ctx.provider.name)
