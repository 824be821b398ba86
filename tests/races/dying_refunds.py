"""A process that decides on a refund, hears of one or looks after one, and is killed meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from paygate.domain.access.roles import Action, Actor, Caller, Role
from paygate.domain.refunds.outcome import RefundAnswer, Refunded
from paygate.flows.context import Context
from paygate.flows.refunds.approve import approve_refund, reject_refund
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.refunds.find import apply_refund
from paygate.flows.refunds.resolve import expire_refund_approvals, resolve_refunds
from tests.races.durable_provider import Steps
from tests.races.dying import REFUNDED, Setting, keyed, opened

DASHBOARD: Final = 700
DECISIONS: Final = {"approve": approve_refund, "reject": reject_refund}
WEEK: Final = timedelta(days=7)


class RefundSetting(Setting, frozen=True):
    """`refund` is what is decided on; `late` is how long after the last try this one comes."""

    refund: str = ""
    late: timedelta = timedelta(0)


def person(number: int) -> Caller:
    """Somebody with a key of their own."""
    actor = Actor("api_key", id=f"key_{number}", role=Role.ADMIN, name=f"p{number}@shop.example")
    return Caller(actor, "default", request_id=f"req_{number}")


def of_a_person(ctx: Context, setting: RefundSetting) -> Context:
    """The context in which every refund waits for a second person."""
    policy = msgspec.structs.replace(ctx.policy, refund_approval_above={})
    now = lambda: datetime.now(UTC) + setting.late  # noqa: E731 -- what a context is given
    return msgspec.structs.replace(ctx, policy=policy, now=now)


async def ask(ctx: Context, intent: str) -> str:
    """The id of a refund that waits for a second person."""
    return (await refund_payment_intent(ctx, person(1), intent, NewRefund(REFUNDED))).id


async def act(ctx: Context, setting: RefundSetting) -> bytes:
    """The flow, as the edge or the worker runs it."""
    match setting.flow:
        case "approve" | "reject":
            decide, action = DECISIONS[setting.flow], Action(f"refund.{setting.flow}")
            return await keyed(ctx, setting, action, lambda c: decide(c, person(2), setting.refund))
        case "dashboard":
            await apply_refund(ctx, person(3), _of_the_dashboard(setting))
        case "sweep":
            await resolve_refunds(ctx, "run_1")
        case "expire":
            await expire_refund_approvals(ctx, "run_1")
    return b"done"


def _of_the_dashboard(setting: RefundSetting) -> RefundAnswer:
    return RefundAnswer(
        Refunded(),
        provider_reference=f"re_dashboard_{setting.intent}",
        payment_reference=setting.refund,
        as_of=datetime(2026, 11, 29, tzinfo=UTC),
        amount=DASHBOARD,
        currency="eur",
    )


def die_refunding(setting: RefundSetting, kill_at: int) -> None:
    """The child's whole life."""

    async def live() -> None:
        async with opened(setting, Steps(kill_at)) as ctx:
            await act(of_a_person(ctx, setting), setting)

    asyncio.run(live())
