"""Apply a provider event that was received: once, in any order, and never a step backwards.

An event is decided on in two stages. `look` reads our own records alone, and ends an event that
changes nothing, here or where the event is received; all other events go on to their effect, here.
One commit holds the event's end and the payment's change, so both become true together. An event
is put off when the obstacle may pass (an unreachable provider, an object that is not known yet),
with the next try enqueued in the same commit; any other fault makes it a dead letter.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple, assert_never

from paygate.domain import provider_event
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import AlertType, Occurrence, Problem
from paygate.domain.audit import Subject
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.payments.attempt import OPEN, Attempt, Operation
from paygate.domain.payments.outcome import Answer, Approved, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience, intent_subject
from paygate.flows.payments.attempt.apply_answer import Verdict, apply_answer, glance
from paygate.flows.payments.attempt.begin import is_under_way
from paygate.flows.payments.attempt.consequences import (
    NOTHING,
    UNUSED_MONEY,
    Consequences,
    alert_about,
)
from paygate.flows.payments.attempt.work import Work
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.providers.contract import Absent, Notice
from paygate.storage.change import Change, Committed, StorageError

_ENDS: Final = {Verdict.STALE: EventStatus.STALE, Verdict.MISMATCH: EventStatus.DEAD_LETTER}
"""How an event ends whose answer had such a verdict; with all others it is processed."""
COME_BACK: Final = timedelta(seconds=1)
"""How long an event is left alone when an answer under way will tell the same."""


class PutOff(Exception):
    """The event cannot be applied now; the reason is a stable word."""


class _AnswerUnderWay(Exception):
    """The answer to our own call is about to tell what the event would ask the provider for."""


class Ended(NamedTuple):
    """The end of an event that changes no other record. `intent` is the payment that the event was
    judged by.
    """

    status: EventStatus
    verdict: str
    intent: PaymentIntent | None = None


class About(NamedTuple):
    """The payment that an event may change, or that the provider must be asked about first."""

    intent: PaymentIntent
    attempt: Attempt
    answer: Answer
    exact: bool
    """Whether the answer is applied as it is; else the object is fetched, and applied instead."""
    asks: bool
    """Whether the provider is asked before the event has an effect."""


class MoneyLeftWith(NamedTuple):
    """The provider's customer on whose account money has come to lie."""

    customer_reference: str


async def apply_provider_event(ctx: Context, message: ApplyProviderEvent) -> timedelta | None:
    """Bring one received event to its end, or put it off. Returns how long it is to be left alone
    when it was not tried, because its payment's own answer is under way.
    """
    tried: int | None = None
    patience = Patience(
        "a payment kept changing while an event was applied",
        end=StorageError,
        seconds=CONCLUDING_SECONDS,
    )
    while True:
        event = await ctx.read.provider_event(message.merchant, message.event)
        if event is None or event.status is not EventStatus.RECEIVED:
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
    """What applying the event makes true now."""
    body = await ctx.read.provider_event_body(event)
    if body is None:
        return end(ctx, event, Ended(EventStatus.DEAD_LETTER, "body_gone"))
    try:
        notice = ctx.provider.read_event(body)
    except ValueError:
        return end(ctx, event, Ended(EventStatus.DEAD_LETTER, "malformed"))
    try:
        seen = await look(ctx, notice)
        match seen:
            case Ended():
                return end(ctx, event, seen)
            case About():
                return await _of_payment(ctx, event, seen)
            case MoneyLeftWith():
                return await _money_left(ctx, event, seen.customer_reference)
            case _:
                assert_never(seen)
    except PutOff as reason:
        return put_off(ctx, event, str(reason))


async def look(ctx: Context, notice: Notice) -> Ended | About | MoneyLeftWith:
    """The end of a notice, or what it may change, by our own records alone; nobody is asked.

    Raises:
        PutOff: the payment bears our mark, and is not known yet.
    """
    if notice.livemode is not ctx.provider.livemode:
        return Ended(EventStatus.IGNORED, "other_mode")
    if notice.money_left_with is not None:
        return MoneyLeftWith(notice.money_left_with)
    answer = notice.answer
    if answer is None:
        return Ended(EventStatus.IGNORED, "type_not_used")
    found = await _subject(ctx, answer)
    if found is None:
        return Ended(EventStatus.IGNORED, "foreign")
    intent, attempt = found
    if not notice.exact or _tells_too_little(attempt, answer):
        return About(intent, attempt, answer, exact=False, asks=True)
    verdict, asks = glance(ctx, intent, attempt, answer)
    if verdict is None or isinstance(answer.outcome, Unknown):
        return About(intent, attempt, answer, exact=True, asks=asks)
    return _ended(verdict, intent)


async def _of_payment(ctx: Context, event: ProviderEvent, about: About) -> Change:
    intent, attempt, answer = about.intent, about.attempt, about.answer
    if about.asks and is_under_way(ctx, attempt):
        raise _AnswerUnderWay
    if not about.exact:
        answer = await _fetched(ctx, answer)
    caller = Caller(_actor(ctx), intent.merchant, request_id=event.id)
    proof = event.provider_reference
    work = Work(caller, Action.PROVIDER_EVENT_APPLY, intent, attempt)
    applied = await apply_answer(ctx, work, answer, proof=proof)
    if applied.verdict is Verdict.UNRESOLVED or isinstance(applied.answer.outcome, Unknown):
        raise PutOff(Verdict.UNRESOLVED)
    return end(ctx, event, _ended(applied.verdict, intent), applied.commits)


def _ended(verdict: Verdict, intent: PaymentIntent) -> Ended:
    return Ended(_ENDS.get(verdict, EventStatus.PROCESSED), verdict, intent)


async def _money_left(ctx: Context, event: ProviderEvent, customer_reference: str) -> Change:
    """The change for money that pays for nothing: an alert about what lies at the provider now."""
    left = await ctx.provider.money_left(
        customer_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(left, Unknown):
        raise PutOff("provider_unreachable")
    if isinstance(left, Absent):
        return end(ctx, event, Ended(EventStatus.IGNORED, "foreign"))
    payer = _payer(left.customer)
    if left.installation != ctx.installation or payer is None or left.merchant is None:
        return end(ctx, event, Ended(EventStatus.IGNORED, "foreign"))
    if not await _is_known(ctx, left.merchant, payer):
        raise PutOff("object_unknown")
    if not left.amounts:
        return end(ctx, event, Ended(EventStatus.PROCESSED, "nothing_new"))
    alert = alert_about(ctx, left.merchant, _excess(payer, left.amounts))
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


def _excess(payer: Subject, amounts: Mapping[str, int]) -> Problem:
    lies = ", ".join(f"{amount} {currency}" for currency, amount in sorted(amounts.items()))
    return Problem(
        type=AlertType.TRANSFER_EXCESS,
        subject=payer,
        severity="warning",
        message=f"a payer sent more than was asked for: {lies} (smallest units) lie unused",
        what_to_do=UNUSED_MONEY,
    )


async def _subject(ctx: Context, answer: Answer) -> tuple[PaymentIntent, Attempt] | None:
    """The intent and the attempt of the payment that an event is about; None when it is not ours.

    A payment whose id we recorded is ours, whatever its metadata say: people can edit them.

    Raises:
        PutOff: the payment bears our mark, and is not known yet.
    """
    ours = answer.installation == ctx.installation
    found = None
    if ours and answer.merchant is not None and answer.attempt is not None:
        found = await ctx.read.attempt_with_intent(answer.merchant, answer.attempt)
    if found is None or found[0].provider_reference != answer.provider_reference:
        found = await _recorded(ctx, answer) or found
    if found is None and ours:
        raise PutOff("object_unknown")
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


async def _fetched(ctx: Context, answer: Answer) -> Answer:
    """How the event's object stands now.

    Raises:
        PutOff: the provider does not tell.
    """
    if answer.provider_reference is None:
        raise PutOff("object_unknown")
    fetched = await ctx.provider.retrieve(
        answer.provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(fetched, Absent):
        raise PutOff(Verdict.UNRESOLVED)
    return fetched


def _tells_too_little(attempt: Attempt, answer: Answer) -> bool:
    """Whether an approval lacks its card, as an event's does: the fetched object has the card."""
    outcome = answer.outcome
    return (
        attempt.operation is Operation.CONFIRM
        and attempt.state in OPEN
        and isinstance(outcome, Approved)
        and outcome.payment_method is None
    )


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
        commits = commits.also(alert_about(ctx, event.merchant, _given_up(done)))
    moved = any(isinstance(each, PaymentIntent) for each in commits.advances)
    return _change_of(ctx, done, commits, stands=None if moved else intent)


def put_off(ctx: Context, event: ProviderEvent, reason: str) -> Change:
    """The change that puts the event off to its next try, or ends it when the tries are used up."""
    after, wait = provider_event.put_off(event, ctx.now(), error=reason)
    if wait is None:
        return _change_of(ctx, after, alert_about(ctx, event.merchant, _given_up(after)))
    message = ApplyProviderEvent(event.merchant, event.id)
    return _change_of(ctx, after, Consequences(jobs=(Job(message, wait),)))


def _given_up(event: ProviderEvent) -> Problem:
    return Problem(
        type=AlertType.WEBHOOK_DEAD_LETTER,
        subject=Subject("provider_event", event.id),
        severity="critical",
        message=f"an event could not be applied: {event.last_error or event.verdict}",
        what_to_do="Look the event up at the provider, and the payment that it is about.",
    )


def _change_of(
    ctx: Context, after: ProviderEvent, commits: Consequences, stands: PaymentIntent | None = None
) -> Change:
    subject = Subject("provider_event", after.id)
    caller = Caller(_actor(ctx), after.merchant, request_id=after.id)
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_APPLY, subject)
    return Change(audit, *Consequences(advances=(after,)).also(commits), stands=stands)


def _actor(ctx: Context) -> Actor:
    return Actor("provider", id=ctx.provider.name)
