"""Which keys there are, how old each is, and how many rows are under it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from paygate.crypto.keyring import Purpose
from paygate.flows.context import Context
from paygate.storage.keysets import KeyFacts, Loaded
from paygate.storage.rewriting import Count

Progress = Callable[[str, float, float | None], None]
COUNTING: Final = "counting rows"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key. Its material is nowhere near."""

    purpose: Purpose
    id: str
    status: Literal["primary", "enabled", "retired"]
    added_at: datetime
    promoted_at: datetime | None
    """Since when it is used for what is new; None: never, or since it was added."""
    retired_at: datetime | None
    rows: int | None
    """How many rows are under it; None: rows do not tell."""


class Encryption(msgspec.Struct, frozen=True, kw_only=True):
    """All keys, those of each purpose in the order they were added."""

    object: Literal["encryption"] = "encryption"
    keys: Sequence[Key]
    rows_by_table: Mapping[str, Mapping[str, int]]
    """Of sealed records: by table, how many are under each key. `unknown`: their bytes name no key
    that there is."""
    hashes_by_table: Mapping[str, Mapping[str, int]]
    """The same of hashed look-ups that move to another index key."""


UNKNOWN: Final = "unknown"


async def encryption_status(ctx: Context, progress: Progress) -> Encryption:
    """The keys, and all rows counted."""
    loaded = await ctx.keysets.load()
    facts = await ctx.keysets.facts()
    counts = await ctx.resealing.counts(lambda done, of: progress(COUNTING, done, of))
    return shown(loaded, facts, counts, await ctx.rehashing.counts())


def shown(
    loaded: Loaded,
    facts: Mapping[tuple[Purpose, int], KeyFacts],
    counts: Sequence[Count],
    hashes: Sequence[Count],
) -> Encryption:
    """Keys and counts as a person sees them."""
    rows = {
        Purpose.RECORDS: Counter[int | None](),
        Purpose.INDEX: Counter[int | None](),
    }
    by_table: dict[str, dict[str, int]] = {}
    hashes_by_table: dict[str, dict[str, int]] = {}
    for purpose, found, tables in (
        (Purpose.RECORDS, counts, by_table),
        (Purpose.INDEX, hashes, hashes_by_table),
    ):
        there = {key.key_id for key in loaded.keyring.keys[purpose]}
        for count in found:
            key = count.key if count.key in there else None
            rows[purpose][key] += count.rows
            name = UNKNOWN if key is None else str(key)
            table = tables.setdefault(count.table, {})
            table[name] = table.get(name, 0) + count.rows
    keys = []
    for purpose, infos in loaded.keyring.keys.items():
        for info in infos:
            known = facts.get((purpose, info.key_id))
            status: Literal["primary", "enabled", "retired"] = "enabled"
            if info.primary:
                status = "primary"
            elif not info.enabled:
                status = "retired"
            keys.append(
                Key(
                    purpose=purpose,
                    id=str(info.key_id),
                    status=status,
                    added_at=loaded.made_at[purpose] if known is None else known.added_at,
                    promoted_at=None if known is None else known.promoted_at,
                    retired_at=None if known is None else known.retired_at,
                    rows=rows[purpose][info.key_id] if purpose in rows else None,
                )
            )
    return Encryption(keys=keys, rows_by_table=by_table, hashes_by_table=hashes_by_table)


def rows_under(counts: Sequence[Count], key: int) -> int:
    """How many rows are under a key."""
    return sum(count.rows for count in counts if count.key == key)
