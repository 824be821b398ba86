"""Who may have how many requests under way: fair by merchant first, and by endpoint then.

A merchant never has all places, however many of its endpoints hang: one share more than there are
merchants at work is made, so whoever comes finds a free one.
"""

from collections.abc import Iterable, Mapping
from typing import Final

PLACES: Final = 256
"""Requests of one worker at once."""
BYTES_MOST: Final = 8 << 20
"""Of bodies that a merchant has under way in one worker: no more is taken for it until some of them
have arrived. A body has a kilobyte or two, and 110 when all of an intent's metadata is used.
"""
MOST: Final = 448
"""The same when there are more merchants than places, of whom each has one: fewer than connections
can be open at once, for one that waits for a connection would be taken for one that fails.
"""


def shared(
    room: Mapping[tuple[str, str], int], in_hand: Mapping[str, int], places: int = PLACES
) -> dict[tuple[str, str], int]:
    """How many more each endpoint may have. `room` is what each could take now, by merchant and
    endpoint; `in_hand` is what merchants have under way.
    """
    theirs: dict[str, dict[tuple[str, str], int]] = {}
    for endpoint, count in room.items():
        theirs.setdefault(endpoint[0], {})[endpoint] = count
    merchants = theirs.keys() | {merchant for merchant, count in in_hand.items() if count}
    share = max(places // (len(merchants) + 1), 1)
    left = MOST - sum(in_hand.values())
    given: dict[tuple[str, str], int] = {}
    for merchant in sorted(theirs, key=lambda merchant: in_hand.get(merchant, 0)):
        more = dict(_in_turn(theirs[merchant], min(share - in_hand.get(merchant, 0), left)))
        left -= sum(more.values())
        given |= more
    return given


def _in_turn(
    room: Mapping[tuple[str, str], int], left: int
) -> Iterable[tuple[tuple[str, str], int]]:
    """`left` places, one after the other to each that has room for it."""
    given = dict.fromkeys(room, 0)
    hungry = [endpoint for endpoint, count in room.items() if count > 0]
    while hungry and left > 0:
        for endpoint in hungry[:left]:
            given[endpoint] += 1
        left -= len(hungry[:left])
        hungry = [endpoint for endpoint in hungry if given[endpoint] < room[endpoint]]
    return [(endpoint, count) for endpoint, count in given.items() if count]
