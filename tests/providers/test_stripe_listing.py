"""A list goes on for as long as there are payments; one that begins anew is no list."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from paygate.providers.absence import ProviderSilent
from paygate.providers.stripe.listing import Listing


def _listed(count: int, *, per_second: int) -> Iterator[dict[str, Any]]:
    """A long list, newest first."""
    newest = 1_790_000_000
    for n in range(count):
        yield {"id": f"pi_{n}", "created": newest - n // per_second}


def test_a_list_may_be_as_long_as_it_likes_and_costs_no_memory() -> None:
    """More than a million payments were once taken for a loop."""
    peaks = []
    for count in (20_000, 100_000):
        listing = Listing()
        tracemalloc.start()
        for item in _listed(count, per_second=500):
            assert listing.next(item) == item["id"]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


@pytest.mark.parametrize("again", [0, 1, 999, 5_000])
def test_a_list_that_begins_anew_has_no_end(again: int) -> None:
    listing = Listing()
    items = list(_listed(20_000, per_second=500))
    for item in items[: again + 1]:
        listing.next(item)
    with pytest.raises(ProviderSilent, match="begins anew"):
        [listing.next(item) for item in items[: again + 1]]


def test_a_list_may_be_a_little_out_of_order() -> None:
    listing = Listing()
    for n, created in enumerate((1000, 998, 1000, 1003, 999, 990, 994)):
        listing.next({"id": f"pi_{n}", "created": created})
    with pytest.raises(ProviderSilent):
        listing.next({"id": "pi_new", "created": 996})


@pytest.mark.parametrize("created", [None, "yesterday", True, -1, 10**12])
def test_a_payment_without_a_time_has_no_place_in_a_list(created: object) -> None:
    with pytest.raises(ProviderSilent):
        Listing().next({"id": "pi_1", "created": created})
