"""Rotate the key that records are sealed under, or that look-ups are hashed with: add a key, wait
until every process knows it, have it used for all that is new, then write anew what there is.

Killed at any step, the next call goes on from there: a key that was added and is not used yet is
used, and a rotation whose records are not all sealed anew is finished before another begins.
"""

from typing import Final, NamedTuple

from paygate.crypto.keyring import Purpose
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry
from paygate.flows.context import Context
from paygate.flows.encryption.loaded import (
    WAIT_SECONDS,
    Tell,
    earlier_transactions_over,
    loaded_by_all,
    refuse_older_keysets,
)
from paygate.flows.encryption.reseal import Resealed, counts_of, reseal
from paygate.flows.encryption.status import Progress
from paygate.storage.keysets import Audited, Loaded

RESEALING: Final = "sealing records anew"
REHASHING: Final = "hashing look-ups anew"


class Rotated(NamedTuple):
    """The key that is used now, and what became of the records that there were."""

    key: int
    resealed: Resealed


async def rotate_records_key(
    ctx: Context,
    caller: Caller,
    *,
    tell: Tell,
    progress: Progress,
    within_seconds: float = WAIT_SECONDS,
) -> Rotated:
    """Rotate, and seal all records anew.

    Raises:
        KeyringError: a process has not loaded the new key in time; nothing is sealed under it then.
    """
    key = await use_newest_key(ctx, caller, Purpose.RECORDS, tell, within_seconds)
    counts = await ctx.resealing.counts(lambda done, of: progress("counting rows", done, of))
    total = sum(count.rows for count in counts if count.key != key)
    tell(f"{total} records are sealed under other keys")

    def seen(done: int) -> None:
        progress(RESEALING, min(done, total), total)

    return Rotated(key, await reseal(ctx, caller, seen))


async def rotate_index_key(
    ctx: Context,
    caller: Caller,
    *,
    tell: Tell,
    progress: Progress,
    within_seconds: float = WAIT_SECONDS,
) -> Rotated:
    """Rotate, and hash all look-ups anew that move to another key. They are found under every
    enabled key meanwhile; what is unique is hashed with the first key, and stays.

    Raises:
        KeyringError: a process has not loaded the new key in time; nothing is hashed with it then.
    """
    key = await use_newest_key(ctx, caller, Purpose.INDEX, tell, within_seconds)
    counts = await counts_of(ctx, Purpose.INDEX)
    total = sum(count.rows for count in counts if count.key != key)
    tell(f"{total} look-ups are hashed with other keys")

    def seen(done: int) -> None:
        progress(REHASHING, min(done, total), total)

    return Rotated(key, await reseal(ctx, caller, seen, Purpose.INDEX))


async def use_newest_key(
    ctx: Context, caller: Caller, purpose: Purpose, tell: Tell, within_seconds: float
) -> int:
    """Have a key used that is newer than today's, by every process; or the one of a rotation that
    was not finished. Returns its id.
    """
    loaded = await ctx.keysets.load()
    await refuse_older_keysets(ctx, loaded.generation)
    key = _added_and_not_used(loaded, purpose)
    if key is None and await _is_unfinished(ctx, loaded, purpose):
        key = loaded.primary(purpose)
        tell(f"going on with the rotation to key {key}")
        await _used_by_all(ctx, loaded.generation, tell, within_seconds)
        return key
    if key is None:
        key = await ctx.keysets.add(loaded, purpose, _audited(ctx, caller, purpose, "added"))
        tell(f"added key {key}; it is used once every process knows it")
    else:
        tell(f"going on with key {key}, which was added and is not used yet")
    loaded = await ctx.keysets.load()
    await loaded_by_all(ctx, loaded.generation, tell, within_seconds)
    entry = _audited(ctx, caller, purpose, "promoted")(key)
    await ctx.keysets.promote(loaded, purpose, key, entry)
    tell(f"key {key} is used from now on")
    loaded = await ctx.keysets.load()
    await _used_by_all(ctx, loaded.generation, tell, within_seconds)
    return key


async def _used_by_all(ctx: Context, generation: int, tell: Tell, within_seconds: float) -> None:
    """Wait until nothing can be written with the keys of before."""
    await loaded_by_all(ctx, generation, tell, within_seconds)
    await earlier_transactions_over(ctx, tell, within_seconds)


def _added_and_not_used(loaded: Loaded, purpose: Purpose) -> int | None:
    """The key of a rotation that ended before all processes knew it: it came after the primary."""
    newest = loaded.keyring.keys[purpose][-1]
    return newest.key_id if newest.enabled and not newest.primary else None


async def _is_unfinished(ctx: Context, loaded: Loaded, purpose: Purpose) -> bool:
    """Whether something may be left under other keys than the primary."""
    facts = (await ctx.keysets.facts()).get((purpose, loaded.primary(purpose)))
    return facts is not None and facts.sealed_at is None


def _audited(ctx: Context, caller: Caller, purpose: Purpose, step: str) -> Audited:
    def entry(key: int) -> AuditEntry:
        details = {"purpose": purpose.value, "key": str(key), "step": step}
        return ctx.audit(caller, Action.ENCRYPTION_ROTATE, details=details)

    return entry
