"""The provider itself is watched: whose account our key is of, and whether its clock agrees."""

from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.payments.outcome import Rejected, Unknown
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.warning import Warned, WarningCode
from paygate.flows.alerts.close import close_alerts
from paygate.flows.provider.watch import (
    ProviderLook,
    look_at_provider,
    watch_provider,
    watcher,
)
from paygate.providers.contract import ClockSkew
from tests.flows.spoilt import mend, spoil
from tests.flows.world import World

MINE, OTHER = "acct_scripted", "acct_other"
SILENT: Final = Unknown("timeout")
KEY_REJECTED: Final = Rejected("provider_configuration", "may not read that")
DOCS: Final = Path(__file__).parents[3] / "docs" / "provider.md"
SECOND: Final = timedelta(seconds=1)


async def watch(world: World, node: str = "node-1") -> list[WarningCode]:
    return [warned.code for warned in await watch_provider(world.ctx, "run_1", node=node)]


async def pinned(world: World) -> list[str]:
    return [each.account for each in await world.all(ProviderAccount)]


async def alerts(world: World, kind: AlertType) -> list[tuple[AlertStatus, str, int]]:
    """Of a type: how each stands, of what, and how often it was found."""
    found: list[Alert] = [a for a in await world.all(Alert) if a.problem.type is kind]
    return [(a.status, a.problem.subject.id, a.count) for a in found]


async def test_the_first_answer_pins_the_account(world: World) -> None:
    assert await watch(world) == []
    assert await watch(world) == []
    assert await pinned(world) == [MINE]
    (entry,) = [e for e in await world.audited() if e.action is Action.PROVIDER_ACCOUNT_PIN]
    assert (entry.actor.name, entry.result) == ("watch-provider", "allowed")


@pytest.mark.parametrize(
    ("said", "code"),
    [(SILENT, WarningCode.UNREACHABLE), (KEY_REJECTED, WarningCode.ACCOUNT_UNREADABLE)],
)
async def test_what_names_no_account_pins_none_and_is_no_alert(
    world: World, said: Unknown | Rejected, code: WarningCode
) -> None:
    world.provider.account_id = said
    assert await watch(world) == [code]
    assert await pinned(world) == []
    assert await world.all(Alert) == []
    world.provider.account_id = OTHER
    assert await watch(world) == []
    assert await pinned(world) == [OTHER]


async def test_another_account_is_an_alert_until_ours_is_back(world: World) -> None:
    await watch(world)
    world.provider.account_id = OTHER
    for _ in range(2):
        assert await watch(world) == [WarningCode.ACCOUNT_CHANGED]
    open_ = (AlertStatus.OPEN, "scripted", 1)
    assert await alerts(world, AlertType.PROVIDER_ACCOUNT_CHANGED) == [open_]
    assert await pinned(world) == [MINE]
    # Neither silence nor a refusal proves that it is ours again.
    for said in (SILENT, KEY_REJECTED):
        world.provider.account_id = said
        await watch(world)
        assert await alerts(world, AlertType.PROVIDER_ACCOUNT_CHANGED) == [open_]
    world.provider.account_id = MINE
    assert await watch(world) == []
    closed = (AlertStatus.CLOSED, "scripted", 1)
    assert await alerts(world, AlertType.PROVIDER_ACCOUNT_CHANGED) == [closed]
    world.provider.account_id = OTHER
    await watch(world)
    anew = (AlertStatus.OPEN, "scripted", 1)
    assert await alerts(world, AlertType.PROVIDER_ACCOUNT_CHANGED) == [closed, anew]


async def test_nobody_is_told_the_account_that_it_is_not_theirs(world: World) -> None:
    await watch(world)
    world.provider.account_id = OTHER
    said = repr(await watch_provider(world.ctx, "run_1", node="node-1"))
    said += repr(await world.all(Alert))
    assert MINE not in said
    assert OTHER not in said


@pytest.mark.parametrize(
    ("ahead", "within", "words"),
    [
        (0.0, 1.0, None),
        (4.0, 0.5, None),
        (-5.0, 0.0, None),
        (8.0, 4.0, None),
        (6.0, 0.5, "our clock is more than 5 seconds behind the provider's"),
        (-6.0, 0.5, "our clock is more than 5 seconds ahead of the provider's"),
        (600.0, 0.5, "our clock is more than a minute behind the provider's"),
        (-601.0, 0.5, "our clock is more than 10 minutes ahead of the provider's"),
        (3e6, 0.5, "our clock is more than a day behind the provider's"),
    ],
)
async def test_a_clock_that_is_proven_wrong_is_told_in_coarse_words(
    world: World, ahead: float, within: float, words: str | None
) -> None:
    world.provider.skew = ClockSkew(ahead * SECOND, within * SECOND)
    asked = await look_at_provider(world.ctx, watcher("run_1"))
    assert asked.clock == (None if words is None else Warned(WarningCode.CLOCK_SKEW, words))


async def test_a_skewed_clock_is_an_alert_of_its_node_until_it_is_right(world: World) -> None:
    wrong, right = ClockSkew(600 * SECOND, SECOND), ClockSkew(0 * SECOND, SECOND)
    open_, closed = ((status, "node-1", 1) for status in (AlertStatus.OPEN, AlertStatus.CLOSED))
    world.provider.skew = wrong
    for _ in range(2):
        assert await watch(world) == [WarningCode.CLOCK_SKEW]
    assert await alerts(world, AlertType.CLOCK_SKEW) == [open_]
    world.provider.skew = right
    assert await watch(world, node="node-2") == []
    assert await alerts(world, AlertType.CLOCK_SKEW) == [open_], "another machine's clock"
    world.provider.skew = None
    assert await watch(world) == []
    assert await alerts(world, AlertType.CLOCK_SKEW) == [open_], "not measured is not right"
    world.provider.skew = right
    assert await watch(world) == []
    assert await alerts(world, AlertType.CLOCK_SKEW) == [closed]


def test_every_warning_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [code for code in WarningCode if f"| `{code}` |" not in text] == []


async def test_readiness_asks_again_when_what_it_knows_is_old(world: World) -> None:
    look = ProviderLook(world.ctx)

    async def codes() -> list[WarningCode]:
        return [warned.code for warned in await look.warnings()]

    assert await codes() == []
    world.provider.account_id = OTHER
    world.clock.forward(59)
    assert await codes() == []
    world.clock.forward(1)
    assert await codes() == [WarningCode.ACCOUNT_CHANGED]
    world.provider.account_id = MINE
    world.clock.forward(9)
    assert await codes() == [WarningCode.ACCOUNT_CHANGED]
    world.provider.skew = ClockSkew(600 * SECOND, SECOND)
    assert await codes() == [WarningCode.ACCOUNT_CHANGED, WarningCode.CLOCK_SKEW]
    world.clock.forward(-3_600)
    assert await codes() == [WarningCode.CLOCK_SKEW], "a clock that was set back asks at once"


async def test_a_pin_that_cannot_be_read_stops_nobody_and_is_told(world: World) -> None:
    """Whether the key is of that account nobody knows then, so nothing is said of it either."""
    await watch(world)
    await spoil(world, "provider_account")
    world.provider.account_id = OTHER
    for _ in range(2):
        assert await watch(world) == [WarningCode.PIN_UNREADABLE]
    standing = await look_at_provider(world.ctx, watcher("start"))
    assert standing.account is not None
    assert standing.account.code is WarningCode.PIN_UNREADABLE
    alert = (AlertStatus.OPEN, "scripted", 1)
    assert await alerts(world, AlertType.RECORD_UNREADABLE) == [alert]
    assert await alerts(world, AlertType.PROVIDER_ACCOUNT_CHANGED) == []
    await close_alerts(world.ctx, "run_2")
    assert await alerts(world, AlertType.RECORD_UNREADABLE) == [alert]
    await mend(world, "provider_account")
    await close_alerts(world.ctx, "run_3")
    assert [s for s, _, _ in await alerts(world, AlertType.RECORD_UNREADABLE)] == [
        AlertStatus.CLOSED
    ]
    assert await watch(world) == [WarningCode.ACCOUNT_CHANGED]
