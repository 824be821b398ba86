"""Money that is taken and given back, here in parts and at once, in the dashboard too; that comes
back weeks later; that banks ask for, take and give back; with events that are late, lost or told
twice: gateway, ledger and sandbox agree
after every step (`money_life` has the rules). `MONEY_EXAMPLES=500` runs more of it, and shrinks.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from paygate.crypto.secret import Secret
from paygate.providers.contract import ClockSkew
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.settings import StripeSettings
from tests.flows.world import IN_STEP, INSTALLATION, World
from tests.payments.money_life import WEBHOOK_SECRET, MoneyLife
from tests.sandbox.caller import SECRET_KEY, Caller
from tests.sandbox.conftest import options, sandbox, session, stripe

__all__ = ["options", "sandbox", "session", "stripe"]

EXAMPLES = int(os.environ.get("MONEY_EXAMPLES", "0"))
PHASES = tuple(Phase) if EXAMPLES else (Phase.explicit, Phase.generate)
WEEK = 7 * 24 * 3600


class Step(Protocol):
    """Something that happens."""

    async def take(self, life: MoneyLife) -> None: ...


@dataclass(frozen=True)
class Take:
    token: str
    manual: bool = False

    async def take(self, life: MoneyLife) -> None:
        await life.take(self.token, manual=self.manual)


@dataclass(frozen=True)
class Refund:
    """Of `payment` so much; None is all that is left."""

    payment: int
    amount: int | None
    fault: str | None = None

    async def take(self, life: MoneyLife) -> None:
        await life.refund(self.payment, self.amount, self.fault)


@dataclass(frozen=True)
class AtOnce:
    payment: int
    amounts: tuple[int, ...]

    async def take(self, life: MoneyLife) -> None:
        await life.refund_at_once(self.payment, self.amounts)


@dataclass(frozen=True)
class Decide:
    refund: int
    approve: bool

    async def take(self, life: MoneyLife) -> None:
        await life.decide(self.refund, approve=self.approve)


@dataclass(frozen=True)
class Dashboard:
    payment: int
    amount: int

    async def take(self, life: MoneyLife) -> None:
        await life.refund_in_dashboard(self.payment, self.amount)


@dataclass(frozen=True)
class Dispute:
    """Of `payment` so much; None is all that is not refunded."""

    payment: int
    kind: str
    amount: int | None = None
    countered_fee: int = 0

    async def take(self, life: MoneyLife) -> None:
        await life.dispute(self.payment, self.kind, self.amount, self.countered_fee)


@dataclass(frozen=True)
class Answer:
    """What is said to the bank of an open dispute decides how it ends."""

    dispute: int
    word: str

    async def take(self, life: MoneyLife) -> None:
        await life.answer(self.dispute, self.word)


@dataclass(frozen=True)
class GoBy:
    """After three minutes the sandbox's slow refunds succeed, and its unlucky ones fail."""

    seconds: int

    async def take(self, life: MoneyLife) -> None:
        await life.go_by(self.seconds)


@dataclass(frozen=True)
class Hear:
    event: int
    times: int

    async def take(self, life: MoneyLife) -> None:
        await life.hear(self.event, times=self.times)


@dataclass(frozen=True)
class Sweep:
    async def take(self, life: MoneyLife) -> None:
        await life.sweep()


@dataclass(frozen=True)
class Settle:
    async def take(self, life: MoneyLife) -> None:
        await life.settle()


_which = st.sampled_from([0, 0, 0, 1, 2])
_amount = st.sampled_from([1, 100, 350, 599, 600, 601, 1000])
_token = st.sampled_from(["pm_card_visa", "pm_card_refundFail", "pm_card_pendingRefund"])
_kind = st.sampled_from(["chargeback", "chargeback", "inquiry", "prevented"])
WIN, LOSE, ESCALATE = "winning_evidence", "losing_evidence", "escalate_inquiry_evidence"
_word = st.sampled_from([WIN, WIN, LOSE, ESCALATE])
_fault = st.sampled_from([None, None, "drop_reply", "error_before", "error_after", "rate_limit"])
STEPS: list[st.SearchStrategy[Step]] = [
    st.builds(Take, _token, st.booleans()),
    st.builds(Refund, _which, st.none() | _amount, _fault),
    st.builds(Refund, _which, _amount, _fault),
    st.builds(AtOnce, _which, st.tuples(_amount, _amount) | st.tuples(_amount, _amount, _amount)),
    st.builds(Decide, _which, st.sampled_from([True, True, False])),
    st.builds(Dashboard, _which, _amount),
    st.builds(Dispute, _which, _kind, st.none() | _amount, st.sampled_from([0, 1500])),
    st.builds(Answer, _which, _word),
    st.builds(GoBy, st.sampled_from([1, 181, WEEK])),
    st.builds(Hear, st.integers(0, 5), st.sampled_from([1, 1, 2, 3, 0])),
    st.builds(Hear, st.integers(0, 5), st.sampled_from([1, 1, 2, 3, 0])),
    st.builds(Sweep),
    st.builds(Settle),
]
"""What may happen, the likelier the oftener it stands here."""


class InStep(StripeProvider):
    """The clocks on both sides leap together here, and the steady one does not."""

    @property
    def skew(self) -> ClockSkew:
        return IN_STEP


@pytest.fixture
async def provider(stripe: Caller) -> AsyncIterator[StripeProvider]:
    adapter = InStep(
        StripeSettings(
            api_base=stripe.url,
            api_key=Secret(SECRET_KEY),
            webhook_secrets=(Secret(WEBHOOK_SECRET),),
            installation=INSTALLATION,
        )
    )
    yield adapter
    await adapter.close()


@pytest.mark.timeout(1200 if EXAMPLES else 300)
@settings(
    max_examples=EXAMPLES or 12,
    phases=PHASES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(token=_token, steps=st.lists(st.one_of(STEPS), min_size=6, max_size=14))
@example(  # the whole is refunded, fails weeks later, and is refunded again in parts
    token="pm_card_refundFail",
    steps=[
        AtOnce(0, (600, 600)),
        Dashboard(0, 400),
        Hear(0, 1),
        GoBy(181),
        Hear(3, 2),
        Settle(),
        Refund(0, 350),
    ],
)
@example(  # an approval that waits while the dashboard gives the money back, unheard
    token="pm_card_visa",
    steps=[Refund(0, 900), Dashboard(0, 350), Decide(0, approve=True), Settle()],
)
@example(  # an inquiry escalates, is answered and won, and then all is refunded
    token="pm_card_visa",
    steps=[
        Dispute(0, "inquiry"),
        Hear(0, 1),
        Refund(0, 350),
        Answer(0, ESCALATE),
        Refund(0, 100),
        Hear(1, 2),
        Answer(0, WIN),
        Settle(),
        Refund(0, None),
    ],
)
@example(  # two disputes of one payment, one lost after a second fee, nothing heard of either
    token="pm_card_visa",
    steps=[
        Refund(0, 300),
        Dispute(0, "chargeback", 350, 1500),
        Dispute(0, "chargeback", 100),
        Answer(0, LOSE),
        Hear(4, 0),
        Answer(0, WIN),
        Hear(2, 3),
        Settle(),
    ],
)
@example(  # lost replies of two, one of which the provider never made
    token="pm_card_pendingRefund",
    steps=[
        Refund(0, 350, "drop_reply"),
        Hear(0, 2),
        Refund(0, 100, "error_before"),
        GoBy(181),
        Sweep(),
    ],
)
async def test_gateway_ledger_and_sandbox_agree(
    world: World, provider: StripeProvider, stripe: Caller, token: str, steps: list[Step]
) -> None:
    life = MoneyLife(world, provider, stripe)
    await life.begin()
    for step in (Take(token), *steps):
        await step.take(life)
        await life.check()
    await life.settle()
