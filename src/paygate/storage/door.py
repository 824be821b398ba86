"""`commit(change)`: the only way that a flow writes."""

import asyncio
from typing import Final

from paygate.storage.change import Change, OutcomeUnknown, Verdict
from paygate.storage.commit.committer import Committer
from paygate.storage.records import Records
from paygate.telemetry import timing

ANSWER_WITHIN_SECONDS: Final = 10.0
"""Longer than a failover takes, shorter than callers wait. The commit goes on beyond it."""


class Door:
    """Seals changes and hands them to the committer."""

    def __init__(
        self,
        records: Records,
        committer: Committer,
        *,
        answer_within_seconds: float = ANSWER_WITHIN_SECONDS,
    ) -> None:
        self._records = records
        self._committer = committer
        self._answer_within_seconds = answer_within_seconds

    async def commit(self, change: Change) -> Verdict:
        """Make the change true, wholly and durably, or learn why not.

        Raises:
            Overloaded, Unavailable, Impossible: nothing was written.
            OutcomeUnknown: no answer in time. Giving up waiting cancels nothing.
        """
        rows = self._records.rows(change)
        verdict = self._committer.submit(change.audit.id, change.audit.merchant, rows)
        loop = asyncio.get_running_loop()
        late = loop.call_later(self._answer_within_seconds, _give_up, verdict)
        try:
            with timing.spent(timing.Part.DATABASE):
                return await verdict
        finally:
            late.cancel()


def _give_up(verdict: asyncio.Future[Verdict]) -> None:
    if not verdict.done():
        verdict.set_exception(OutcomeUnknown("the database has not answered yet"))
