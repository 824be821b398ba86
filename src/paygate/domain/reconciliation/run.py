"""A reconciliation: one round of holding our payments against the provider's, and its report.

Its version is what fences it: whoever works on it writes the next version, so one that stood still
while another took the round over can write nothing of it any more, neither report nor cursor.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from paygate.domain.record import Recorded

ONE_AT_A_TIME: Final = "running"
"""What a round claims while it runs: there is one of a provider's account."""


class Cause(StrEnum):
    """Why a round began."""

    SCHEDULE = "schedule"
    PERSON = "person"
    START = "start"
    """The first one that there was."""


class RunStatus(StrEnum):
    """How far a round has come. *Failed*: a part of it could not be read, or was not believed."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class Stage(StrEnum):
    """The parts of a round, in their order: what is newest is needed first."""

    BEGIN = "begin"
    DEAD_LETTERS = "dead_letters"
    EVENTS = "events"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    OPEN = "open"
    OPEN_REFUNDS = "open_refunds"
    OPEN_DISPUTES = "open_disputes"
    HELD = "held"
    """What the round before could not examine."""
    WHOLE = "whole"
    ALERTS = "alerts"
    END = "end"


class Place(Recorded, frozen=True):
    """Where a round goes on: behind a time of the provider's, or behind a record of ours."""

    stage: Stage = Stage.BEGIN
    at: datetime | None = None
    length_seconds: int | None = None
    """How long the next window of time is."""
    listed: int = 0
    """How much the provider listed of the part before it."""
    after: tuple[str, str, str] | None = None
    """The part of the stage, and the merchant and id of the record."""


class Cursors(Recorded, frozen=True):
    """Until when, by the provider's clock, all is known that it listed; None: nothing was read."""

    payments: datetime | None = None
    events: datetime | None = None
    compared_at: datetime | None = None
    """When the payments of the last 30 days were compared, final ones too."""
    refunds: datetime | None = None
    disputes: datetime | None = None


class Tally(Recorded, frozen=True):
    """What a round has met. What it healed or holds is its findings, counted as they are written
    and once more at its end.
    """

    in_step: int = 0
    foreign: int = 0
    healed: int = 0
    held: int = 0
    orphans: int = 0
    dead_letters_replayed: int = 0
    provider_calls: int = 0
    events_received: int = 0
    """Events that the provider lists and no delivery had brought."""

    @property
    def ours(self) -> int:
        """How many payments, refunds and disputes of ours were examined."""
        return self.in_step + self.healed + self.held

    @property
    def theirs(self) -> int:
        """How many payments, refunds and disputes of the provider's were examined."""
        return self.ours + self.orphans + self.foreign


class Reconciliation(Recorded, frozen=True, kw_only=True):
    """Belongs to the provider's account, and so to the merchant `default`. Times of the window and
    of the cursors are the provider's.
    """

    id: str
    merchant: str
    livemode: bool
    cause: Cause
    status: RunStatus
    started_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int = 1
    finished_at: datetime | None = None
    wanted_since: datetime | None = None
    """From when on a person wants payments compared."""
    since: datetime | None = None
    """The window is set when the provider's time is known."""
    until: datetime | None = None
    events_since: datetime | None = None
    whole_since: datetime | None = None
    """From when on payments of before the window are compared, once a day."""
    before: datetime | None = None
    """When the round before began: what is looked at now and then came due since."""
    place: Place = Place()
    tally: Tally = Tally()
    cursors: Cursors = Cursors()
    faults: tuple[str, ...] = ()
    """What could not be done, in words without the provider's."""

    @property
    def running_as(self) -> str | None:
        """The claim that keeps others from beginning another."""
        return ONE_AT_A_TIME if self.status is RunStatus.RUNNING else None


def advanced(run: Reconciliation, at: datetime, **changes: Any) -> Reconciliation:
    """The round one version on."""
    assert run.status is RunStatus.RUNNING, "a round that has ended stays as it is"
    return msgspec.structs.replace(
        run, version=run.version + 1, updated_at=max(at, run.updated_at), **changes
    )


def ended(run: Reconciliation, at: datetime, **changes: Any) -> Reconciliation:
    """The round at its end; it has failed when a part of it could not be done."""
    faults = changes.get("faults", run.faults)
    status = RunStatus.FAILED if faults else RunStatus.COMPLETED
    return advanced(run, at, status=status, finished_at=max(at, run.started_at), **changes)
