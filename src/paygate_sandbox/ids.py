"""Identifiers and secrets in Stripe's shapes, from one injectable seed.

Like Stripe's they grow with creation and end in randomness, so that indexes are appended to.
They must never depend on the time, so that a seeded run gives the same ids again.
"""

import random
import string

_ALPHABET = (string.ascii_letters + string.digits).encode()
# A byte to a character; that some come a little more often harms nothing here.
_CHARACTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
# Objects of a payment share Stripe's leading "3", accounts and the like have a "1".
_MARKS = {"pi": "3", "ch": "3", "py": "3", "txn": "3", "evt": "3"}
# With the ten characters before it, as long as Stripe's.
_RANDOM_LENGTH = 13
_REQUEST_LENGTH = 14
_LETTERS = string.ascii_lowercase[:10]


class Ids:
    """`boot` is the number of this start of the store, so that no two starts share an id."""

    def __init__(self, seed: str | None = None, boot: int = 0) -> None:
        # Without a seed it starts from the system's entropy.
        self._random = random.Random(None if seed is None else f"{seed}:{boot}")
        self._boot = boot
        self._count = 0

    def new(self, prefix: str) -> str:
        self._count += 1
        mark = _MARKS.get(prefix, "1")
        tail = self.token(_RANDOM_LENGTH)
        if tail[0].isdigit():
            # Twelve digits in a row and more are taken for a card's number, here and there.
            tail = _LETTERS[int(tail[0])] + tail[1:]
        return f"{prefix}_{mark}{self._boot:03x}{self._count:07x}{tail}"

    def request(self) -> str:
        return f"req_{self.token(_REQUEST_LENGTH)}"

    def token(self, length: int) -> str:
        return self._random.randbytes(length).translate(_CHARACTERS).decode()
