"""The arithmetic of limits, on a clock that stands still unless it is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.api.edge.buckets import (
    SUBJECTS,
    Bucket,
    RateLimited,
    Windows,
    make_buckets,
    network_of,
)
from paygate.api.edge.errors import STATUS, headers_of
from paygate.domain.errors import CATALOGUE, ErrorType
from paygate.setting_kinds import Rate

DOCS = Path(__file__).parents[3] / "docs" / "rate-limits.md"


class Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now = 600.0

    def __call__(self) -> float:
        return self.now


def test_a_window_takes_its_limit_and_fades() -> None:
    clock = Clock()
    windows = Windows(10, 60, clock)
    assert [windows.hit("a") for _ in range(12)] == [True] * 10 + [False] * 2
    assert windows.left("a") == 0
    assert windows.left("b") == 10
    assert windows.wait_seconds("a") == 60
    assert windows.wait_seconds("b") == 0
    clock.now += 59.9
    assert not windows.hit("a")
    clock.now += 6.7  # a little more than a tenth of the window before is gone
    assert windows.left("a") == 2
    assert [windows.hit("a") for _ in range(3)] == [True, True, False]
    assert windows.wait_seconds("a") == pytest.approx(5.4)
    clock.now += 120
    assert windows.left("a") == 10


def test_what_is_refused_does_not_count() -> None:
    clock = Clock()
    windows = Windows(1, 60, clock)
    windows.hit("a")
    for _ in range(1000):
        assert not windows.hit("a")
    clock.now += 60.1
    assert windows.hit("a")


@given(
    limit=st.integers(1, 40),
    steps=st.lists(st.floats(0.01, 20), max_size=200),
)
def test_never_more_than_twice_the_limit_and_the_wait_is_true(
    limit: int, steps: list[float]
) -> None:
    """What the counter does not know is how the window before was filled: late, at worst."""
    clock = Clock()
    windows = Windows(limit, 10, clock)
    taken: list[float] = []
    for step in steps:
        clock.now += step
        if windows.hit("a"):
            taken.append(clock.now)
        else:
            wait = windows.wait_seconds("a")
            assert 0 < wait <= 10
            now, clock.now = clock.now, clock.now + wait + 0.001
            assert windows.left("a") >= 1
            clock.now = now
        assert sum(at > clock.now - 10 for at in taken) <= 2 * limit


def test_the_memory_is_bounded() -> None:
    clock = Clock()
    windows = Windows(1, 60, clock)
    for number in range(SUBJECTS + 10):
        assert windows.hit(f"{number}")
    assert windows.hit("0"), "all of this window: forgotten"
    clock.now += 60
    for number in range(SUBJECTS):
        windows.hit(f"{number}")
    clock.now += 60
    windows.hit("late")
    assert not windows.hit("late")
    assert len(windows._counts) <= SUBJECTS


def test_the_numbers_of_production() -> None:
    made = make_buckets(Rate(100, 1), production=True, processes=2)
    assert made.key == Bucket("key", 300, 3, 150)
    assert made.address == Bucket("address", 1200, 3, 600)
    assert made.failures == Bucket("failed-authentication", 20, 60, 10)
    assert made.key_declines == Bucket("declines", 600, 60, 300, likely=0.2)
    assert made.client_declines == Bucket("client-declines", 10, 60, 5, likely=0.5)


def test_the_numbers_of_development() -> None:
    made = make_buckets(Rate(10_000, 1), production=False, processes=1)
    assert made.key == Bucket("key", 30_000, 3, 30_000)
    assert made.failures.quota == made.client_declines.quota == 600


def test_the_docs_name_every_limit() -> None:
    text = DOCS.read_text()
    for bucket in make_buckets(Rate(100, 1), production=True, processes=1):
        assert f"| `{bucket.name}` |" in text


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(1, 60)])
def test_a_share_is_never_nothing(rate: Rate) -> None:
    made = make_buckets(rate, production=True, processes=64)
    assert all(bucket.share == 1 for bucket in made)
    assert all(bucket.quota >= 1 for bucket in made)


@pytest.mark.parametrize(("wait", "seconds"), [(0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2")])
def test_a_refusal_says_which_limit_and_when(wait: float, seconds: str) -> None:
    refusal = RateLimited(Bucket("key", 300, 3, 150), wait)
    assert headers_of(refusal) == {
        "Retry-After": seconds,
        "RateLimit-Policy": '"key";q=300;w=3',
        "RateLimit": f'"key";r=0;t={seconds}',
    }
    assert STATUS[refusal.code] == 429
    entry = CATALOGUE[refusal.code]
    assert (entry.type, entry.retriable) == (ErrorType.RATE_LIMIT, True)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_who_an_address_stands_for(address: str | None, network: str) -> None:
    assert network_of(address) == network
