"""Deadlines for evidence: told at two stages and when missed, each once, and not once answered."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertStatus
from paygate.flows.alerts.acknowledge import acknowledge_alert
from paygate.flows.alerts.close import close_alerts
from paygate.flows.disputes.problems import Deadline, deadline_of
from paygate.flows.disputes.watch import watch_disputes
from tests.domain.disputes.made import TAKEN, a_dispute, said
from tests.domain.refunds.made import paid as paid_intent
from tests.flows.disputes.stories import alerts, disputed, paid, stage
from tests.flows.world import World

DAY = 86_400
HOUR = 3600


async def deadlines(world: World) -> list[str | None]:
    """The stages of the alerts that stand, once all that is due by the clock was run."""
    await watch_disputes(world.ctx, f"run_{world.clock.time:%d%H%M}")
    await world.count_occurrences()
    await close_alerts(world.ctx, f"close_{world.clock.time:%d%H%M}")
    return [stage for kind, stage in await alerts(world) if kind == "dispute_deadline"]


async def test_each_stage_is_told_once_and_the_next_follows_it(world: World) -> None:
    await paid(world)
    await disputed(world, "needs_response", TAKEN, due_in=8)
    assert await deadlines(world) == []
    world.clock.forward(6 * DAY)
    assert await deadlines(world) == ["48h"]
    for _ in range(3):
        world.clock.forward(HOUR)
        assert await deadlines(world) == ["48h"]
    world.clock.forward(1.5 * DAY)
    assert await deadlines(world) == ["12h"]
    world.clock.forward(DAY)
    assert await deadlines(world) == ["missed"]
    world.clock.forward(3 * DAY)
    assert await deadlines(world) == ["missed"]
    found = [a for a in await world.all(Alert) if a.problem.type == "dispute_deadline"]
    assert [a.count for a in found] == [1, 1, 1]
    assert all("no evidence is staged here" in a.problem.message for a in found)
    assert sum("passed at" in a.problem.message for a in found) == 1


async def test_one_that_was_seen_is_not_told_again(world: World) -> None:
    await paid(world)
    await disputed(world, "needs_response", TAKEN, due_in=1)
    (alert,) = [a for a in await world.all(Alert) if a.problem.type == "dispute_deadline"]
    await acknowledge_alert(world.ctx, world.caller, alert.id)
    world.clock.forward(HOUR)
    assert await deadlines(world) == ["48h"]
    (alert,) = [a for a in await world.all(Alert) if a.problem.type == "dispute_deadline"]
    assert (alert.status, alert.count) == (AlertStatus.ACKNOWLEDGED, 1)


@pytest.mark.parametrize(
    ("days", "stage"), [(3, None), (1.5, "48h"), (0.4, "12h"), (-0.1, "missed")]
)
async def test_what_arrives_with_less_time_left_is_told_at_once(
    world: World, days: float, stage: str | None
) -> None:
    """In the commit that records it: nobody waits for the clock."""
    await paid(world)
    await disputed(world, "needs_response", TAKEN, due_in=days)
    found = [s for kind, s in await alerts(world) if kind == "dispute_deadline"]
    assert found == ([] if stage is None else [stage])
    assert await deadlines(world) == found


async def test_nothing_is_told_after_it_was_submitted(world: World) -> None:
    await paid(world)
    await disputed(world, "needs_response", TAKEN, due_in=1)
    assert await deadlines(world) == ["48h"]
    await disputed(world, "needs_response", TAKEN, due_in=1, submission_count=1)
    assert await deadlines(world) == []
    world.clock.forward(3 * DAY)
    assert await deadlines(world) == []


@pytest.mark.parametrize("status", ["under_review", "won", "lost", "warning_closed"])
async def test_nothing_is_told_once_it_is_out_of_our_hands(world: World, status: str) -> None:
    await paid(world)
    first = "warning_needs_response" if status.startswith("warning") else "needs_response"
    await disputed(world, first, due_in=1)
    assert await deadlines(world) == ["48h"]
    await disputed(world, status, due_in=1)
    assert await deadlines(world) == []


async def test_without_a_deadline_none_is_told(world: World) -> None:
    await paid(world)
    await disputed(world, "needs_response", TAKEN, evidence_due_by=None)
    world.clock.forward(30 * DAY)
    assert await deadlines(world) == []


async def test_an_inquiry_that_escalates_has_a_new_deadline(world: World) -> None:
    await paid(world)
    await disputed(world, "warning_needs_response", due_in=1)
    assert await deadlines(world) == ["48h"]
    await disputed(world, "needs_response", TAKEN, due_in=9)
    assert await deadlines(world) == []


async def test_the_alert_says_whether_evidence_is_staged(world: World) -> None:
    await paid(world)
    dispute = await disputed(world, "needs_response", TAKEN, due_in=3)
    await stage(world, dispute, {"product_description": "a lamp"})
    world.clock.forward(2 * DAY)
    await watch_disputes(world.ctx, "run_1")
    (alert,) = [a for a in await world.all(Alert) if a.problem.type == "dispute_deadline"]
    assert "evidence is staged here (1 texts, 0 files)" in alert.problem.message


def test_stages_are_reckoned_on_instants() -> None:
    """Due when Berlin has lost an hour: two days before is 28 March, 00:59:59 there."""
    due = datetime(2026, 3, 29, 23, 59, 59, tzinfo=UTC)
    dispute = a_dispute(paid_intent(), said("needs_response", evidence_due_by=due))
    berlin = ZoneInfo("Europe/Berlin")
    stage_begins = datetime(2026, 3, 28, 0, 59, 59, tzinfo=berlin)
    assert stage_begins == due - timedelta(hours=48)
    assert deadline_of(dispute, stage_begins - timedelta(seconds=1)) is None
    assert deadline_of(dispute, stage_begins) is Deadline.TWO_DAYS
    assert deadline_of(dispute, due - timedelta(hours=12)) is Deadline.HALF_A_DAY
    assert deadline_of(dispute, due) is Deadline.MISSED
    late = msgspec.structs.replace(dispute, submission_count=1)
    assert deadline_of(late, due) is None
