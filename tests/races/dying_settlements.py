"""A process that settles a payout, or decides what is wrong with it, and is killed meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from paygate.domain.access.roles import Action
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.discrepancy import DecisionAction
from paygate.domain.settlements.line import LinePage
from paygate.domain.settlements.outcome import Line, Payout
from paygate.flows.context import Context
from paygate.flows.settlements import settle
from paygate.flows.settlements.decide import resolve_discrepancy
from paygate.flows.settlements.work_on import conclude_as_asked
from paygate.jobs.messages import ConcludeSettlement
from paygate.providers.absence import Absent
from paygate.storage.settlements.pages import SettlementPages, Written
from tests.flows.world import ScriptedProvider
from tests.races.durable_provider import Steps
from tests.races.dying import CALLER, Setting, keyed, opened

LINES_A_PAGE = 2
"""So that a payout of a few lines has several pages."""


class SettleSetting(Setting, frozen=True):
    """What the provider pays out, and what is decided on."""

    payout: Payout | None = None
    lines: tuple[Line, ...] = ()
    discrepancy: str = ""


class PaidOut(ScriptedProvider):
    """Shows one payout; a step before whatever it tells."""

    def __init__(self, setting: SettleSetting, steps: Steps) -> None:
        super().__init__()
        self.payout = setting.payout
        self.lines = setting.lines
        self.steps = steps

    async def retrieve_payout(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> Payout | Absent | Unknown:
        self.steps.step()
        return self.payout or Absent()

    async def list_payout_lines(self, *_: object, **__: object) -> AsyncIterator[Line]:
        for line in self.lines:
            self.steps.step()
            yield line


class SteppedPages(SettlementPages):
    """The pages, with a step on either side of writing one."""

    steps: Steps

    async def write(self, page: LinePage) -> Written:
        self.steps.step()
        written = await super().write(page)
        self.steps.step()
        return written


def settling(ctx: Context, setting: SettleSetting, steps: Steps) -> Context:
    """The context with that provider."""
    pages = SteppedPages(
        ctx.settlement_pages._pool, ctx.settlement_pages._searches, ctx.settlement_pages._records
    )
    pages.steps = steps
    return msgspec.structs.replace(ctx, provider=PaidOut(setting, steps), settlement_pages=pages)


async def act(ctx: Context, setting: SettleSetting) -> bytes:
    """The flow, as the worker or the edge runs it; a decision, with the worker's part."""
    if setting.flow == "settle":
        assert setting.payout is not None
        await settle.settle_payout(ctx, CALLER, setting.payout.provider_reference)
        return b"settled"
    body = await keyed(
        ctx,
        setting,
        Action.DISCREPANCY_RESOLVE,
        lambda c: resolve_discrepancy(
            c, CALLER, setting.discrepancy, DecisionAction.RESOLVE, "known"
        ),
    )
    assert setting.payout is not None
    of = await ctx.settlements.of_payout(setting.payout.provider_reference)
    assert of is not None
    await conclude_as_asked(ctx, ConcludeSettlement("default", of.id))
    return body


def die_settling(setting: SettleSetting, kill_at: int) -> None:
    """The child's whole life."""
    vars(settle)["LINES_A_PAGE"] = LINES_A_PAGE  # in a process of this test's own

    async def live() -> None:
        steps = Steps(kill_at)
        async with opened(setting, steps) as ctx:
            await act(settling(ctx, setting, steps), setting)

    asyncio.run(live())
