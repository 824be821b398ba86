"""What people are told of settlements: the words of their alerts."""

from collections.abc import Mapping
from typing import Final

from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.settlements.discrepancy import Amount, Discrepancy, DiscrepancyKind, Found
from paygate.domain.settlements.settlement import Settlement

WAITING: Final = "waiting"
"""Stage of a payout that was paid long ago, and whose lines cannot be read to their end."""
NO_PROGRESS: Final = "no_progress"
"""Stage of runs that have payouts to settle, and could settle none."""
TOO_MUCH: Final = "too_much"
"""Stage of a settlement whose lines come to more than records can keep."""
_WHAT_TO_DO: Final = (
    "Look at GET /discrepancies?settlement=... or `paygate settle --payout`: each says what was"
    " expected and what was found. Explain or resolve each with a reason."
)


def payout_failed(settlement: Settlement) -> Problem:
    """The bank did not take a payout."""
    payout = settlement.payout
    code = "" if payout is None or payout.failure_code is None else f" ({payout.failure_code})"
    return Problem(
        type=AlertType.PAYOUT_FAILED,
        subject=Subject("settlement", settlement.id),
        severity="critical",
        message=f"a payout of {words_of(settlement.amount, settlement.currency)} failed{code}; its"
        " money comes back to the balance at the provider, and into a later payout",
        what_to_do="Look at the bank account in the provider's dashboard: payouts mostly stop until"
        " it is mended. Resolve the discrepancy once the money has arrived.",
    )


def payout_came_back(settlement_id: str, found: Found) -> Problem:
    """A line of this payout says that another one came back, and the provider has no such one."""
    return Problem(
        type=AlertType.PAYOUT_FAILED,
        subject=Subject("settlement", settlement_id),
        severity="critical",
        message=f"a report says that a payout of {_amount(found.expected)} came back, into this"
        " one; the provider has no payout of that id",
        what_to_do="Find the payout in the bank's statement, or ask whoever made the report. The"
        " discrepancy names it; resolve it once you know where the money is.",
    )


def discrepant(settlement: Settlement, kinds: Mapping[str, int]) -> Problem:
    """A settlement has discrepancies that nobody has seen to, so many of each kind."""
    count = sum(kinds.values())
    named = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return _critical(
        settlement.id,
        f"a payout of {words_of(settlement.amount, settlement.currency)} has {count}"
        f" {'discrepancy' if count == 1 else 'discrepancies'}: {named}",
    )


def elsewhere(settlement_id: str, found: Found) -> Problem:
    """What a later payout shows of a line that was settled before."""
    return _critical(
        settlement_id,
        f"a later payout shows a discrepancy ({found.kind}) of a line in this one: expected"
        f" {_amount(found.expected)}, found {_amount(found.found)}",
    )


def closed_otherwise(settlement_id: str, found: Found) -> Problem:
    """A settlement was closed by a report, and the provider paid out another amount."""
    return _critical(
        settlement_id,
        f"the provider paid out {_amount(found.expected)}, and a report that was brought"
        f" says {_amount(found.found)}; by that the settlement is closed",
        "Hold the report against the provider's dashboard. What is closed stays so:"
        " explain or resolve the discrepancy, and correct your books by an entry of their own.",
    )


def bank_differs(settlement_id: str, found: Found) -> Problem:
    """The bank received another amount of a payout whose settlement is closed."""
    return _critical(
        settlement_id,
        f"the bank received {_amount(found.found)} of a payout of {_amount(found.expected)};"
        " its settlement is closed",
        "Ask the bank, and the provider by the payout's trace id, where the difference is. What is"
        " closed stays so: explain or resolve the discrepancy, and correct your books by an entry"
        " of their own.",
    )


def unsettled(found: Found) -> Problem:
    """Money that we recorded is in no payout, and its time is over."""
    intent = found.payment_intent or found.about
    amount = _amount(found.expected)
    if found.kind is DiscrepancyKind.LATE:
        said = f"{amount} is on the provider's balance, and in no payout beyond the window"
        what_to_do = "See whether payouts are held in the provider's dashboard, or set"
        what_to_do += " PAYGATE_SETTLEMENT_WINDOW to how your payouts come."
    else:
        said = f"{amount} that is recorded here was never on the provider's balance"
        what_to_do = "Look the payment up in the provider's dashboard."
    return Problem(
        type=AlertType.SETTLEMENT_DISCREPANCY,
        subject=Subject("payment_intent", intent),
        severity="warning" if found.kind is DiscrepancyKind.LATE else "critical",
        message=said,
        what_to_do=what_to_do,
        stage=found.kind,
    )


def grown_old(discrepancy: Discrepancy, bucket: str) -> Problem:
    """A discrepancy that nobody has seen to for so many days."""
    about = Subject("discrepancy", discrepancy.id)
    return Problem(
        type=AlertType.SETTLEMENT_DISCREPANCY,
        subject=about,
        severity=discrepancy.severity,
        message=f"a discrepancy ({discrepancy.kind}) is {bucket} days old, and nobody has seen to"
        f" it: expected {_amount(discrepancy.what.expected)}, found"
        f" {_amount(discrepancy.what.found)}",
        what_to_do="Explain or resolve it: POST /discrepancies/{id}/resolve.",
        stage=bucket,
    )


def still_waiting(settlement: Settlement, days: int) -> Problem:
    """A payout was paid, and its lines cannot be read to their end."""
    return Problem(
        type=AlertType.SETTLEMENT_DISCREPANCY,
        subject=Subject("settlement", settlement.id),
        severity="warning",
        message=f"the lines of a payout of {words_of(settlement.amount, settlement.currency)} are"
        f" not all there {days} days after it should have arrived",
        what_to_do="See whether the provider's dashboard itemises it, whether a record_unreadable"
        " alert stands, and the worker's log.",
        stage=WAITING,
    )


def too_much(settlement: Settlement) -> Problem:
    """The lines of a payout come to more than any money does."""
    return Problem(
        type=AlertType.SETTLEMENT_DISCREPANCY,
        subject=Subject("settlement", settlement.id),
        severity="critical",
        message=f"the lines of a payout of {words_of(settlement.amount, settlement.currency)} come"
        " to more than can be kept, so that they are neither summed nor posted",
        what_to_do="Withdraw the reports that brought them"
        " (POST /settlements/imports/{id}/withdraw), and bring them by the right mapping.",
        stage=TOO_MUCH,
    )


def no_progress(provider: str, waiting: int, why: str) -> Problem:
    """A run had settlements to work on, and could bring none further."""
    return Problem(
        type=AlertType.SETTLEMENT_DISCREPANCY,
        subject=Subject("provider", provider),
        severity="warning",
        message=f"{waiting} payouts wait to be settled, and none could be: {why}",
        what_to_do="See whether the provider answers, whether its key may read payouts and balance"
        " transactions, and the worker's log. Every run tries again.",
        stage=NO_PROGRESS,
    )


def _critical(settlement_id: str, message: str, what_to_do: str = _WHAT_TO_DO) -> Problem:
    """Something is wrong with the money of a payout."""
    return Problem(
        type=AlertType.SETTLEMENT_DISCREPANCY,
        subject=Subject("settlement", settlement_id),
        severity="critical",
        message=message,
        what_to_do=what_to_do,
    )


def words_of(amount: int | None, currency: str) -> str:
    """An amount for people."""
    if amount is None:
        return "an amount that nobody has told"
    return Amount(amount, currency).words


def _amount(amount: Amount | None) -> str:
    return "nothing" if amount is None else amount.words
