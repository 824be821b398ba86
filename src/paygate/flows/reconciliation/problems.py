"""What a round alerts people of: that it is late, held very much, could not be brought to its end,
or could not examine an object; and what it found of one that differs.
"""

from typing import Final

from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.flows.context import Context

LATE: Final = "late"
FAILED: Final = "failed"
MANY: Final = "many"
"""Stages of the alerts about rounds themselves."""
UNEXAMINED: Final = "unexamined"
"""The stage of the alert about an object that a round could not examine."""
MISSING: Final = "missing"
"""The stage of the alert about what the provider does not have any more."""
TOLD_MOST: Final = 500
"""Alerts that one worker raises in a round. More are one cause, which so many show well enough:
other books, or none. The rest are findings alone."""


def about_rounds(ctx: Context) -> Subject:
    """What alerts about rounds themselves are about."""
    return Subject("provider", ctx.provider.name)


def late(ctx: Context) -> Problem:
    """A round takes longer than until the next one."""
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=about_rounds(ctx),
        stage=LATE,
        severity="warning",
        message="a reconciliation takes longer than the 15 minutes after which the next one is due;"
        " it goes on",
        what_to_do="Look at PAYGATE_PROVIDER_RATE, of which it may use a quarter, and at how long"
        " the provider takes to answer.",
    )


def many(ctx: Context) -> Problem:
    """A round holds more than it raises alerts for."""
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=about_rounds(ctx),
        stage=MANY,
        severity="critical",
        message=f"a reconciliation holds more than {TOLD_MOST} objects for a person: not each of"
        " them has an alert",
        what_to_do="Look at the findings of the reconciliation. If a backup was restored, see"
        " `paygate restored`.",
    )


def failed(ctx: Context, faults: tuple[str, ...]) -> Problem:
    """Parts of a round could not be done."""
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=about_rounds(ctx),
        stage=FAILED,
        severity="critical",
        message=f"a reconciliation could not be brought to its end: {'; '.join(faults)}",
        what_to_do="See whether the provider answers, and whether its key may list payments and"
        " events. The next round begins where this one did.",
    )


def unexamined(subject: Subject, reference: str, why: str) -> Problem:
    """An object of the provider's could not be held against our records."""
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=subject,
        stage=UNEXAMINED,
        severity="critical",
        message=f"what the provider has as {reference} could not be compared with our records:"
        f" {why}. Each round tries again, and goes on with all others",
        what_to_do="Look for reconciliation_faulted in the worker's log, and the object up in the"
        " provider's dashboard.",
    )


def missing(subject: Subject, message: str) -> Problem:
    """What stands here, the provider does not have."""
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=subject,
        stage=MISSING,
        severity="critical",
        message=message,
        what_to_do="See whose key is set, and look the payment up in the provider's dashboard.",
    )
