"""How often, how many at once, and whose turn: the rules of deliveries, as values."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.errors import Refusal
from paygate.domain.webhooks.delivery import (
    DeliveryAttempt,
    DeliveryStatus,
    Failure,
    attempted,
    begun,
    resent,
    wait_before,
)
from paygate.domain.webhooks.endpoint import SigningSecret
from paygate.domain.webhooks.retry_after import parse_retry_after
from paygate.domain.webhooks.shares import PLACES, shared
from paygate.domain.webhooks.url import check_webhook_url
from paygate.domain.webhooks.window import MOST, Window, after_failure, after_success
from paygate.egress.client import CONNECTIONS

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_a_delivery_is_tried_for_three_days(chance: float) -> None:
    delivery = begun(delivery_id="dl_", merchant="m", endpoint="we_", event="evt_", at=NOW)
    waits, at = [], NOW
    while delivery.status is DeliveryStatus.PENDING:
        assert delivery.next_attempt_at is not None
        waits.append((delivery.next_attempt_at - at).total_seconds())
        at = delivery.next_attempt_at
        failed = DeliveryAttempt(at=at, duration_ms=0, status_code=500)
        delivery = attempted(delivery, failed, over=at, chance=chance)
    assert delivery.failure is Failure.GAVE_UP
    assert at - NOW == timedelta(days=3)
    assert 20 <= len(waits) <= 35
    assert all(later >= earlier for earlier, later in itertools.pairwise(waits[1:8]))
    assert max(waits) <= 4.8 * 3600
    again = resent(delivery, at)
    assert (again.tries, again.next_attempt_at, again.failure) == (0, at, None)
    assert len(again.attempts) == len(delivery.attempts)


@pytest.mark.parametrize("tries", [1, 4, 30])
def test_what_failed_together_is_not_tried_again_together(tries: int) -> None:
    """A wait is spread by a fifth either way."""
    soonest, latest = (wait_before(tries, chance) for chance in (0.0, 1.0))
    assert latest / soonest == pytest.approx(1.2 / 0.8)


def test_the_log_has_an_end() -> None:
    delivery = begun(delivery_id="dl_", merchant="m", endpoint="we_", event="evt_", at=NOW)
    for _ in range(200):
        failed = DeliveryAttempt(at=NOW, duration_ms=1, error="timed_out")
        delivery = resent(attempted(delivery, failed, over=NOW, chance=0), NOW)
    assert len(delivery.attempts) == 50


@given(st.lists(st.booleans(), max_size=200))
def test_a_window_is_within_bounds_whatever_comes(taken: list[bool]) -> None:
    window = Window()
    for good in taken:
        window = after_success(window) if good else after_failure(window, window.round)
        assert 1 <= window.size <= MOST
        assert (window.failures == 0) or not good


def test_a_window_doubles_then_halves_and_a_round_fails_once() -> None:
    window, sizes = Window(), []
    for _ in range(140):
        window = after_success(window)
        sizes.append(window.size)
    assert sorted(set(sizes)) == [2, 4, 8, 16, 32, 64]
    sent_in = window.round
    for _ in range(64):
        window = after_failure(window, sent_in)
    assert window.size == 32
    assert after_failure(window, window.round).size == 1
    for _ in range(32):
        window = after_success(window)
    assert window.size == 33


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("123456")), st.integers(0, 32)
    ),
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, PLACES)),
)
def test_nobody_has_all_places(room: dict[tuple[str, str], int], in_hand: dict[str, int]) -> None:
    given_ = shared(room, in_hand)
    merchants = {m for m, _ in room} | {m for m, n in in_hand.items() if n}
    share = PLACES // (len(merchants) + 1)
    for merchant in merchants:
        theirs = sum(n for (m, _), n in given_.items() if m == merchant)
        assert theirs <= max(0, share - in_hand.get(merchant, 0))
    for endpoint, n in given_.items():
        assert 0 < n <= room[endpoint]


def test_a_thousand_merchants_have_fewer_at_once_than_connections_can_be_open() -> None:
    room = {(str(n), "1"): 1 for n in range(1000)}
    first = shared(room, {})
    assert PLACES <= len(first) < CONNECTIONS
    at_work = {merchant: 1 for merchant, _ in first}
    assert shared(room, at_work) == {}
    at_work.popitem()
    (after,) = shared(room, at_work)
    assert after[0] not in at_work, "who has none comes first"


def test_places_go_round() -> None:
    room = {("a", str(n)): 32 for n in range(50)} | {("b", "1"): 5}
    given_ = shared(room, {}, places=150)
    assert all(given_["a", str(n)] == 1 for n in range(50))
    assert given_["b", "1"] == 5


@pytest.mark.parametrize(
    "url",
    [
        *("https://shop.example/hooks", "https://shop.example:8443/a?b=c", "https://8.8.8.8/"),
        *("https://[2606:4700::1111]/", "https://xn--bcher-kva.example/", "https://a1.2b/"),
    ],
)
def test_a_url_may_be(url: str) -> None:
    assert check_webhook_url(url, production=True) == url


@pytest.mark.parametrize(
    "url", ["http://shop.example/", "http://127.0.0.1/", "https://127.1/", "https://0x7f.1/"]
)
def test_production_wants_tls_and_no_odd_numbers(url: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_webhook_url(url, production=True)
    assert caught.value.code == "parameter_invalid"


@given(st.text(max_size=40))
def test_whatever_a_receiver_asks_for_has_bounds(text: str) -> None:
    wait = parse_retry_after(text, NOW)
    assert wait is None or timedelta(0) < wait <= timedelta(hours=1)


@given(st.binary(min_size=32, max_size=32))
def test_a_secret_is_written_in_one_way(key: bytes) -> None:
    """Prefix, base64 with its padding; and never by accident."""
    secret = SigningSecret(key)
    assert secret.text.startswith("whsec_")
    assert len(secret.text) == len("whsec_") + 44
    assert secret.text not in repr(secret)
