"""What news of a dispute, or of an early fraud warning, comes to. The dispute is applied in commits
of its own; the event's end follows, and finds nothing new when it is tried again.
"""

from typing import Final, NamedTuple

from paygate.domain.access.roles import Caller
from paygate.domain.audit import Subject
from paygate.domain.disputes.outcome import DisputeAnswer
from paygate.domain.provider_event import EventStatus
from paygate.flows.context import Context, intent_subject
from paygate.flows.disputes.find import Finding, apply_dispute, fetched_dispute, is_recorded
from paygate.flows.disputes.problems import dispute_subject
from paygate.flows.disputes.warn import Warned, warn_of_fraud
from paygate.flows.provider_events.look import NotKnownYet, PutOff
from paygate.providers.absence import Absent

NO_SUCH_DISPUTE: Final = "no_such_dispute"
"""The verdict on news of a dispute that the provider does not have: of a rehearsal, or another
account's."""
_ENDS: Final = {
    Finding.FOREIGN: EventStatus.IGNORED,
    Finding.STALE: EventStatus.STALE,
    Finding.UNFAMILIAR: EventStatus.DEAD_LETTER,
}
"""How an event ends by what its dispute was found to be; by all else it is processed."""
_IGNORED: Final = frozenset({Warned.FOREIGN, Warned.ABSENT})


class Heard(NamedTuple):
    """How an event ends, and what it was about."""

    status: EventStatus
    verdict: str
    subject: Subject | None = None


async def hear_of_dispute(
    ctx: Context, caller: Caller, answer: DisputeAnswer, *, exact: bool
) -> Heard:
    """Apply what an event says of a dispute. What becomes a record of ours by its event is looked
    up first: so it is there for certain, and shows our mark.

    Raises:
        PutOff: the provider does not tell.
        NotKnownYet: its payment is not concluded here, or not known.
    """
    if not exact or not await is_recorded(ctx, answer):
        found = await fetched_dispute(ctx, answer.provider_reference)
        if isinstance(found, Absent):
            return Heard(EventStatus.IGNORED, NO_SUCH_DISPUTE, await _payment_of(ctx, answer))
        if not isinstance(found, DisputeAnswer):
            raise PutOff(Finding.UNRESOLVED)
        answer = found
    # Another event may have told of more while the look-up's answer was on its way.
    applied = await apply_dispute(ctx, caller, answer)
    if applied.finding is Finding.UNRESOLVED:
        raise PutOff(Finding.UNRESOLVED)
    if applied.finding in {Finding.PAYMENT_FIRST, Finding.ORPHAN}:
        raise NotKnownYet(orphan=applied.finding is Finding.ORPHAN)
    subject = None if applied.dispute is None else dispute_subject(applied.dispute)
    status = _ENDS.get(applied.finding, EventStatus.PROCESSED)
    return Heard(status, applied.finding, subject)


async def _payment_of(ctx: Context, answer: DisputeAnswer) -> Subject | None:
    if answer.payment_reference is None:
        return None
    of = await ctx.read.payment_intent_by_provider_reference(answer.payment_reference)
    return None if of is None else intent_subject(of.id)


async def hear_of_fraud(ctx: Context, caller: Caller, reference: str) -> Heard:
    """Tell people of a warning, where that helps.

    Raises:
        PutOff: the provider does not tell.
        NotKnownYet: its payment bears our mark, and is not recorded.
    """
    warned, intent = await warn_of_fraud(ctx, caller, reference)
    if warned is Warned.UNRESOLVED:
        raise PutOff(Warned.UNRESOLVED)
    if warned is Warned.ORPHAN:
        raise NotKnownYet(orphan=True)
    status = EventStatus.IGNORED if warned in _IGNORED else EventStatus.PROCESSED
    return Heard(status, warned, None if intent is None else intent_subject(intent.id))
