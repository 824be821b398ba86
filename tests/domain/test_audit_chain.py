"""What is hashed of an entry is what docs/audit.md says, whichever way it is put together."""

import hashlib
import hmac
import random
from datetime import UTC, datetime, timedelta

from paygate.domain.audit_chain import (
    FORMAT,
    SALT_BYTES,
    Entry,
    Seal,
    fields,
    hash_of,
    leaf_of,
    microseconds,
)

WORDS = ("default", "au_01", "straße", "日本", "", "5:x", "-", "é" * 70, "a" * 300)


def test_leaves_and_hashes_are_those_of_the_fields() -> None:
    chance, previous = random.Random(1), bytes(32)
    for number in range(1_000):
        merchant, name = chance.choice(WORDS), chance.choice(WORDS)
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(10**15))
        clear = [chance.choice((*WORDS, None)) for _ in range(3)]
        content = chance.randbytes(chance.randrange(600))
        entry = Entry(merchant, name, at, clear[0], clear[1], clear[2], content)
        salt = chance.randbytes(SALT_BYTES)
        time = str(microseconds(at))
        data = fields("paygate.audit.1", merchant, name, time, *clear, content)
        leaf = leaf_of(salt, entry)
        assert leaf == hmac.digest(salt, data, "sha256")
        seal = Seal(number, merchant, name, at, chance.randrange(2**32), FORMAT, leaf, b"", None)
        rest = (str(number), merchant, name, time, str(seal.key), str(FORMAT), leaf)
        data = fields("paygate.chain.1", "in_ä", previous, *rest)
        assert hash_of("in_ä", previous, seal) == hashlib.sha256(data).digest()
        previous = hash_of("in_ä", previous, seal)
