"""Our side of a page of lines: the records that its lines may be for, read all at once."""

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from paygate.domain.disputes.dispute import Dispute
from paygate.domain.ids import kind_of
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.fact import Fact, Known, of_dispute, of_payment, of_refund
from paygate.domain.settlements.judge import Terms
from paygate.domain.settlements.line import FACT_OF, FactKind
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.flows.context import Context
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.settlements.facts import Found, Key
from paygate.storage.unreadable import Unread

ACCOUNT: Final = DEFAULT_MERCHANT
"""The merchant whose the provider's account is: settlements are its, whosever the lines are."""

_OF_REFUNDS: Final = frozenset(
    category for category, kind in FACT_OF.items() if kind is FactKind.REFUND
)
_OF_DISPUTES: Final = frozenset(LineCategory) - frozenset(
    category for category, kind in FACT_OF.items() if kind is not FactKind.DISPUTE
)
"""Any may be a dispute's but those that are of a payment or a refund: its fee is a fee."""

R = TypeVar("R", PaymentIntent, Refund, Dispute)


class OurSide(NamedTuple):
    """What is known of a page, and the places of the lines that cannot be matched just now because
    a record that they name cannot be read.
    """

    known: Known
    held: frozenset[int]
    unread: tuple[Unread, ...]


def terms_of(ctx: Context) -> Terms:
    """What lines are judged by: today, in UTC, and the settings."""
    policy = ctx.policy
    return Terms(ctx.now().date(), policy.settlement_window, policy.fee_rules)


async def our_side(ctx: Context, lines: Sequence[Line]) -> OurSide:
    """Everything of ours that the lines name."""
    payments = await _payments(ctx, lines)
    refunds = await ctx.settlement_facts.refunds(_sources(lines, _OF_REFUNDS))
    disputes = await ctx.settlement_facts.disputes(_sources(lines, _OF_DISPUTES))
    hidden = payments.hidden | refunds.hidden | disputes.hidden
    known = Known(
        account=ACCOUNT,
        installation=ctx.installation,
        exclusive=ctx.policy.exclusive_account,
        payments=_facts(payments, of_payment),
        refunds=_facts(refunds, of_refund),
        disputes=_facts(disputes, of_dispute),
    )
    unread = (*payments.unread, *refunds.unread, *disputes.unread)
    held = {place for place, line in enumerate(lines) if hidden and _names_any(line, hidden)}
    marked, by_mark, faults = await _marked(ctx, lines, known)
    held |= by_mark
    return OurSide(replace(known, marked=marked), frozenset(held), (*unread, *faults))


async def _payments(ctx: Context, lines: Sequence[Line]) -> Found[PaymentIntent]:
    """The payments that lines name: by their source where they name none that is ours."""
    named = {line.payment_reference for line in lines if line.payment_reference is not None}
    found = await ctx.settlement_facts.payments(named)
    told = found.records.keys() | found.hidden
    others = {
        line.source_reference
        for line in lines
        if line.source_reference is not None and line.payment_reference not in told
    }
    by_source = await ctx.settlement_facts.payments(others - named)
    return Found(
        {**found.records, **by_source.records},
        found.hidden | by_source.hidden,
        (*found.unread, *by_source.unread),
    )


def _sources(lines: Sequence[Line], categories: Collection[LineCategory]) -> set[str]:
    return {
        line.source_reference
        for line in lines
        if line.category in categories and line.source_reference is not None
    }


def _names_any(line: Line, references: Container[str | None]) -> bool:
    """Whether one of these is an id of the provider's on a line that may be a payment's."""
    return line.payment_reference in references or line.source_reference in references


def _facts(found: Found[R], fact_of: Callable[[R], Fact]) -> Mapping[str, Fact]:
    return {reference: fact_of(record) for reference, record in found.records.items()}


async def _marked(
    ctx: Context, lines: Sequence[Line], known: Known
) -> tuple[dict[str, Fact], frozenset[int], list[Unread]]:
    """The records whose mark lines bear that no id of the provider's names, by the mark; the places
    of lines whose marked record cannot be read, and why.
    """
    wanted: dict[Key, list[int]] = {}
    for place, line in enumerate(lines):
        key = _mark_of(line, known)
        if key is not None:
            wanted.setdefault(key, []).append(place)
    refunds, refund_faults = await ctx.settlement_facts.refunds_by_id(
        key for key in wanted if kind_of(key[1]) == "refund"
    )
    attempts, attempt_faults = await ctx.settlement_facts.attempts(
        key for key in wanted if kind_of(key[1]) == "attempt"
    )
    intents, intent_faults = await ctx.settlement_facts.payments_by_id(
        (attempt.merchant, attempt.intent) for attempt in attempts.values()
    )
    marked = {key[1]: of_refund(refund) for key, refund in refunds.items()}
    for key, attempt in attempts.items():
        intent = intents.get((attempt.merchant, attempt.intent))
        if intent is not None:
            marked[key[1]] = of_payment(intent)
    faults = [*refund_faults, *attempt_faults, *intent_faults]
    # Which mark an unreadable record has is not told by all of them: all that found none are held.
    missing = (key for key in wanted if faults and key[1] not in marked)
    held = frozenset(place for key in missing for place in wanted[key])
    return marked, held, faults


def _mark_of(line: Line, known: Known) -> Key | None:
    """The merchant and id on a line that bears our mark, where the provider's ids name nothing."""
    if line.attempt is None or line.merchant is None or line.installation != known.installation:
        return None
    if (
        _names_any(line, known.payments)
        or _names_any(line, known.refunds)
        or _names_any(line, known.disputes)
    ):
        return None
    return line.merchant, line.attempt
