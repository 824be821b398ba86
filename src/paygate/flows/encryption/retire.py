"""Give up a key that nothing is sealed under any more, or take it back.

A count is no proof by itself: a process that does not know the newest key, or a transaction that is
still open, may write under the old one after it. So those are waited for before, and the rows are
counted once more after: whatever has come under the key meanwhile, the key opens it again.
"""

from paygate.crypto.keyring import KeyringError, Purpose
from paygate.crypto.tink_keysets import KeyInfo
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry
from paygate.flows.context import Context
from paygate.flows.encryption.loaded import (
    WAIT_SECONDS,
    Tell,
    earlier_transactions_over,
    loaded_by_all,
)
from paygate.flows.encryption.status import rows_under
from paygate.storage.keysets import Loaded
from paygate.storage.resealing import Count


async def retire_key(
    ctx: Context, caller: Caller, key: int, *, tell: Tell, within_seconds: float = WAIT_SECONDS
) -> None:
    """Retire a key of the records' keyset.

    Raises:
        KeyringError: there is no such key, it is the primary or retired already; rows are under it,
            or under none that is known; or a process or a transaction may still write under it.
    """
    loaded = await ctx.keysets.load()
    _refuse_unless_idle(loaded, key)
    await loaded_by_all(ctx, loaded.generation, tell, within_seconds)
    await earlier_transactions_over(ctx, tell, within_seconds)
    tell(f"counting the rows under key {key}")
    _refuse_rows(await ctx.resealing.counts(), loaded, key)
    await ctx.keysets.disable(loaded, Purpose.RECORDS, key, _audited(ctx, caller, key, "retired"))
    after = await ctx.keysets.load()
    try:
        await loaded_by_all(ctx, after.generation, tell, within_seconds)
        await earlier_transactions_over(ctx, tell, within_seconds)
        left = rows_under(await ctx.resealing.counts(), key)
    except KeyringError:
        await _take_back(ctx, caller, key)
        raise
    if left:
        await _take_back(ctx, caller, key)
        raise KeyringError(
            f"{left} rows have come under key {key} meanwhile: it was taken back, and opens them."
            " Run `paygate encryption rotate`, which seals them anew, and then this again"
        )


async def unretire_key(ctx: Context, caller: Caller, key: int) -> None:
    """Have a retired key open again what is sealed under it.

    Raises:
        KeyringError: there is no such key, or it is not retired.
    """
    loaded = await ctx.keysets.load()
    if _of_records(loaded, key).enabled:
        raise KeyringError(f"key {key} is not retired")
    entry = _audited(ctx, caller, key, "taken back")
    await ctx.keysets.enable(loaded, Purpose.RECORDS, key, entry)


async def _take_back(ctx: Context, caller: Caller, key: int) -> None:
    await unretire_key(ctx, caller, key)


def _of_records(loaded: Loaded, key: int) -> KeyInfo:
    for purpose, keys in loaded.keyring.keys.items():
        for info in keys:
            if info.key_id == key:
                if purpose is not Purpose.RECORDS:
                    raise KeyringError(
                        f"key {key} is for {purpose.value}: rows do not tell what is under it"
                    )
                return info
    raise KeyringError(f"there is no key {key}: `paygate encryption status` shows those there are")


def _refuse_unless_idle(loaded: Loaded, key: int) -> None:
    info = _of_records(loaded, key)
    if info.primary:
        raise KeyringError(
            f"key {key} is the primary, under which all that is new is sealed: rotate first"
        )
    if not info.enabled:
        raise KeyringError(f"key {key} is retired already")
    newest = loaded.keyring.keys[Purpose.RECORDS][-1]
    if info == newest:
        raise KeyringError(
            f"key {key} was added by a rotation that is not finished:"
            " `paygate encryption rotate` goes on with it"
        )


def _refuse_rows(counts: list[Count], loaded: Loaded, key: int) -> None:
    if under := rows_under(counts, key):
        raise KeyringError(
            f"{under} rows are sealed under key {key}: run `paygate encryption rotate`, which seals"
            " them anew. Those that it cannot open have an alert each"
        )
    known = {each.key_id for each in loaded.keyring.keys[Purpose.RECORDS]}
    if unknown := sum(count.rows for count in counts if count.key not in known):
        raise KeyringError(
            f"{unknown} rows name no key that there is, so that nobody can tell which they need:"
            " put them back as they were (`paygate encryption status` shows their tables)"
        )


def _audited(ctx: Context, caller: Caller, key: int, step: str) -> AuditEntry:
    details = {"purpose": Purpose.RECORDS.value, "key": str(key), "step": step}
    return ctx.audit(caller, Action.ENCRYPTION_RETIRE, details=details)
