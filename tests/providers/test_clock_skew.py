"""The provider's clock against ours: what answers tell of it, and which are not believed."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.payments.outcome import Approved, NotSent, Unknown
from paygate.providers.clock_skew import KEPT_SECONDS, NEWEST, SAMPLES, ProviderClock
from paygate.providers.contract import ClockSkew
from paygate.providers.stripe.adapter import StripeProvider
from tests.flows.world import Clock
from tests.providers.conftest import order, settings
from tests.providers.stripe_calls import DATE
from tests.providers.stripe_objects import payment
from tests.providers.stripe_server import Behaviour, StripeServer, answer, error

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
TEN_MINUTES: Final = timedelta(minutes=10)
SLACK: Final = timedelta(minutes=1)
"""Our clock stands still in these tests, while the adapter works."""
AGREEING: Final = SAMPLES // 2 + 1


def heard(clock: ProviderClock, ahead: float, at: float, *, took: float = 0.2) -> None:
    """An answer of a provider whose clock is `ahead` seconds, received when the steady clock
    showed `at`; ours shows NOW at 0.
    """
    written = NOW + timedelta(seconds=at - took / 2 + ahead)
    clock.dated(written.replace(microsecond=0), sent=at - took, received=at)


def skew_of(clock: ProviderClock, at: float) -> ClockSkew | None:
    return clock.skew(NOW + timedelta(seconds=at), at)


def about(seconds: float, skew: ClockSkew | None) -> bool:
    """Whether the measure holds the truth, and is of use."""
    if skew is None or skew.within > timedelta(seconds=3):
        return False
    return abs(skew.ahead - timedelta(seconds=seconds)) <= skew.within


@pytest.mark.parametrize("ahead", [0.0, 0.7, -0.7, 600.0, -600.0, 86_400.0])
def test_one_answer_tells_to_a_second_or_so(ahead: float) -> None:
    clock = ProviderClock()
    assert skew_of(clock, 0) is None
    heard(clock, ahead, 1)
    assert about(ahead, skew_of(clock, 1))


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 30)), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_truth_lies_within(
    ahead: float, calls: list[tuple[float, float]], chance: random.Random
) -> None:
    """Wherever between the request and the answer the date was written."""
    clock, at = ProviderClock(), 0.0
    for pause, took in calls:
        at += pause + took
        written = NOW + timedelta(seconds=at - took * chance.random() + ahead)
        clock.dated(written.replace(microsecond=0), sent=at - took, received=at)
    skew = skew_of(clock, at)
    assert skew is not None
    assert abs(skew.ahead - timedelta(seconds=ahead)) <= skew.within + timedelta(milliseconds=1)


def test_many_answers_tell_more_than_one() -> None:
    clock = ProviderClock()
    heard(clock, 600, 1, took=4)
    alone = skew_of(clock, 1)
    for at in range(2, 9):
        heard(clock, 600, at + at / 10)
    together = skew_of(clock, 9)
    assert alone is not None
    assert together is not None
    assert together.within < alone.within / 2


def test_an_hour_later_nothing_is_known() -> None:
    clock = ProviderClock()
    heard(clock, 600, 1)
    assert about(600, skew_of(clock, KEPT_SECONDS))
    assert skew_of(clock, KEPT_SECONDS + 2) is None


def test_an_old_answer_tells_less() -> None:
    clock = ProviderClock()
    heard(clock, 0, 1)
    fresh, old = skew_of(clock, 1), skew_of(clock, 3_000)
    assert fresh is not None
    assert old is not None
    assert fresh.within + timedelta(seconds=1) < old.within < timedelta(seconds=5)


@pytest.mark.parametrize("wrong", [-86_400.0, -3_600.0, 3_600.0, 5e10])
@pytest.mark.parametrize("first", [True, False])
def test_dates_of_a_minority_are_not_believed(wrong: float, first: bool) -> None:
    """Of a cache, of a proxy, of nonsense."""
    clock = ProviderClock()
    rights, wrongs = [3.0] * AGREEING, [wrong, wrong * 1.5]
    for at, ahead in enumerate([*wrongs, *rights] if first else [*rights, *wrongs], start=1):
        heard(clock, ahead, at)
    assert about(3, skew_of(clock, SAMPLES))


def test_where_two_contradict_each_other_nothing_is_known() -> None:
    clock = ProviderClock()
    heard(clock, 0, 1)
    heard(clock, 600, 2)
    assert skew_of(clock, 2) is None
    heard(clock, 0, 3)
    assert about(0, skew_of(clock, 3))


def test_a_clock_that_moves_is_doubted_and_then_followed() -> None:
    """The machine stood still under its hypervisor, say, or the provider's clock was set."""
    clock = ProviderClock()
    for at in range(SAMPLES):
        heard(clock, 0, at)
    for number in range(1, AGREEING + 1):
        heard(clock, 600, SAMPLES + number)
        skew = skew_of(clock, SAMPLES + number)
        if number < NEWEST:
            assert about(0, skew), "a few may be wrong"
        elif number < AGREEING:
            assert skew is None
    assert about(600, skew_of(clock, SAMPLES + AGREEING))


# -- through the adapter: its answers, and a clock of ours that is wrong -------------------------


@pytest.fixture
def ours() -> Clock:
    clock = Clock()
    clock.time = DATE
    return clock


@pytest.fixture
async def provider(server: StripeServer, ours: Clock) -> AsyncIterator[StripeProvider]:
    adapter = StripeProvider(settings(server.url), clock=ours)
    yield adapter
    await adapter.close()


def close_to(expected: timedelta, skew: ClockSkew | None) -> bool:
    return skew is not None and abs(skew.ahead - expected) < SLACK


@pytest.mark.parametrize("off", [timedelta(0), TEN_MINUTES, -TEN_MINUTES])
async def test_every_answer_measures_our_clock(
    off: timedelta, server: StripeServer, provider: StripeProvider, ours: Clock
) -> None:
    server.otherwise = answer(payment())
    assert provider.skew is None
    ours.time = DATE + off
    await provider.confirm(order(), timeout_seconds=30)
    assert close_to(-off, provider.skew)


async def test_a_step_of_our_clock_shows_before_the_next_answer(
    server: StripeServer, provider: StripeProvider, ours: Clock
) -> None:
    server.otherwise = answer(payment())
    await provider.confirm(order(), timeout_seconds=30)
    ours.time -= TEN_MINUTES
    assert close_to(TEN_MINUTES, provider.skew)
    await provider.confirm(order(), timeout_seconds=30)
    assert close_to(TEN_MINUTES, provider.skew)


STALE: Final = format_datetime(DATE - timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("useless", "expected"),
    [
        (answer(payment(), 200, {"Date": ""}), Approved),
        (answer(payment(), 200, {"Date": "yesterday"}), Approved),
        (answer(payment(), 200, {"Date": STALE, "Age": "3600"}), Approved),
        (error(407, {"Date": STALE}, message="who are you?"), Unknown),
        (error(502, {"Date": STALE}, message="bad gateway"), Unknown),
        (error(429, {"Date": STALE, "Retry-After": "9"}, message="slow down"), NotSent),
    ],
)
async def test_what_is_not_the_providers_fresh_answer_tells_nothing(
    useless: Behaviour, expected: type, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(useless)
    found = await provider.confirm(order(), timeout_seconds=30)
    assert isinstance(found.outcome, expected)
    assert provider.skew is None


async def test_a_refusal_of_the_providers_own_tells_the_time_too(
    server: StripeServer, provider: StripeProvider, ours: Clock
) -> None:
    server.script.append(error(401, type="invalid_request_error"))
    ours.forward(600)
    await provider.account(timeout_seconds=30)
    assert close_to(-TEN_MINUTES, provider.skew)
