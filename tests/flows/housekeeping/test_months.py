"""The months that commits will need are there, or somebody is told three months before."""

from datetime import timedelta

import pytest

from paygate.domain.warning import WarningCode
from paygate.flows.housekeeping.months import AHEAD, months_warning, watch_months
from tests.flows.world import World


async def test_months_that_are_made_are_no_matter(world: World) -> None:
    assert await months_warning(world.ctx) is None
    world.clock.forward(timedelta(days=365).total_seconds())
    assert await months_warning(world.ctx) is None


async def test_three_months_before_they_run_out_it_is_told(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """D17: nobody ran `migrate` for nearly two years."""
    end = await world.connection.fetchval("SELECT max(ends) FROM months_of('audit_entry')")
    world.clock.time = end - AHEAD - timedelta(days=1)
    assert await months_warning(world.ctx) is None
    world.clock.forward(timedelta(days=2).total_seconds())
    warned = await months_warning(world.ctx)
    assert warned is not None
    assert warned.code is WarningCode.MONTHS_RUN_OUT
    for table in ("audit_entry", "event", "provider_event_body"):
        assert table in warned.message
    await watch_months(world.ctx)
    assert "months_run_out" in capsys.readouterr().out


async def test_the_month_that_one_table_lacks_is_seen(world: World) -> None:
    at = world.clock() + AHEAD
    await world.connection.execute(f"DROP TABLE event_{at:%Y_%m}")
    warned = await months_warning(world.ctx)
    assert warned is not None
    assert "event" in warned.message
    assert "audit_entry" not in warned.message
