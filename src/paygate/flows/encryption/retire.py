"""Give up a key that nothing is sealed or hashed under any more, or take it back.

A count is no proof by itself: a process that does not know the newest key, or a transaction that is
still open, may write under the old one after it. So those are waited for before, and the rows are
counted once more after: whatever has come under the key meanwhile, the key opens it again. Killed
between the two, the next call counts once more.
"""

from typing import Final

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
    refuse_older_keysets,
)
from paygate.flows.encryption.reseal import ROTATED, counts_of
from paygate.flows.encryption.status import rows_under
from paygate.storage.keysets import Loaded
from paygate.storage.rewriting import Count

_ROTATE: Final = {
    Purpose.RECORDS: "paygate encryption rotate",
    Purpose.INDEX: "paygate encryption rotate --index",
}
_UNDER: Final = {Purpose.RECORDS: "sealed under", Purpose.INDEX: "hashed with"}


async def retire_key(
    ctx: Context, caller: Caller, key: int, *, tell: Tell, within_seconds: float = WAIT_SECONDS
) -> None:
    """Retire a key of the records' keyset, or of the index's; of one that is retired, see that
    nothing has come under it.

    Raises:
        KeyringError: there is no such key, or it is the primary; rows are under it, or under none
            that is known; or a process or a transaction may still write under it.
    """
    loaded = await ctx.keysets.load()
    await refuse_older_keysets(ctx, loaded.generation)
    purpose, info = _found(loaded, key)
    if info.enabled:
        await _give_up(ctx, caller, loaded, purpose, key, tell, within_seconds)
    else:
        tell(f"key {key} is retired already: counting the rows that may have come under it since")
    await _refuse_late_rows(ctx, caller, purpose, key, tell, within_seconds)


async def _give_up(
    ctx: Context,
    caller: Caller,
    loaded: Loaded,
    purpose: Purpose,
    key: int,
    tell: Tell,
    within_seconds: float,
) -> None:
    """Have nothing opened with the key any more, where nothing is under it."""
    _refuse_unless_idle(loaded, purpose, key)
    await loaded_by_all(ctx, loaded.generation, tell, within_seconds)
    await earlier_transactions_over(ctx, tell, within_seconds)
    tell(f"counting the rows under key {key}")
    _refuse_rows(await counts_of(ctx, purpose), loaded, purpose, key)
    entry = _audited(ctx, caller, purpose, key, "retired")
    await ctx.keysets.disable(loaded, purpose, key, entry)


async def _refuse_late_rows(
    ctx: Context, caller: Caller, purpose: Purpose, key: int, tell: Tell, within_seconds: float
) -> None:
    """Take the key back where rows have come under it, or may still."""
    after = await ctx.keysets.load()
    try:
        await loaded_by_all(ctx, after.generation, tell, within_seconds)
        await earlier_transactions_over(ctx, tell, within_seconds)
        left = rows_under(await counts_of(ctx, purpose), key)
    except KeyringError:
        await _take_back(ctx, caller, key)
        raise
    if left:
        await _take_back(ctx, caller, key)
        raise KeyringError(
            f"{left} rows have come under key {key} meanwhile: it was taken back, and opens them."
            f" Run `{_ROTATE[purpose]}`, which writes them anew, and then this again"
        )


async def unretire_key(ctx: Context, caller: Caller, key: int) -> None:
    """Have a retired key open again what is sealed under it, and find what is hashed with it.

    Raises:
        KeyringError: there is no such key, or it is not retired.
    """
    loaded = await ctx.keysets.load()
    purpose, info = _found(loaded, key)
    if info.enabled:
        raise KeyringError(f"key {key} is not retired")
    entry = _audited(ctx, caller, purpose, key, "taken back")
    await ctx.keysets.enable(loaded, purpose, key, entry)


async def _take_back(ctx: Context, caller: Caller, key: int) -> None:
    await unretire_key(ctx, caller, key)


def _found(loaded: Loaded, key: int) -> tuple[Purpose, KeyInfo]:
    for purpose, keys in loaded.keyring.keys.items():
        for info in keys:
            if info.key_id == key:
                if purpose not in ROTATED:
                    raise KeyringError(
                        f"key {key} is for {purpose.value}: what it signed is checked with it for"
                        " ever"
                    )
                return purpose, info
    raise KeyringError(f"there is no key {key}: `paygate encryption status` shows those there are")


def _refuse_unless_idle(loaded: Loaded, purpose: Purpose, key: int) -> None:
    if loaded.primary(purpose) == key:
        raise KeyringError(
            f"key {key} is the primary, which is used for all that is new: rotate first"
            f" (`{_ROTATE[purpose]}`)"
        )
    if loaded.keyring.keys[purpose][-1].key_id == key:
        raise KeyringError(
            f"key {key} was added by a rotation that is not finished:"
            f" `{_ROTATE[purpose]}` goes on with it"
        )


def _refuse_rows(counts: list[Count], loaded: Loaded, purpose: Purpose, key: int) -> None:
    if under := rows_under(counts, key):
        raise KeyringError(
            f"{under} rows are {_UNDER[purpose]} key {key}: run `{_ROTATE[purpose]}`, which writes"
            " them anew. Those that it cannot open have an alert each"
        )
    known = {each.key_id for each in loaded.keyring.keys[purpose]}
    if unknown := sum(count.rows for count in counts if count.key not in known):
        raise KeyringError(
            f"{unknown} rows name no key that there is, so that nobody can tell which they need:"
            " put them back as they were (`paygate encryption status` shows their tables)"
        )


def _audited(ctx: Context, caller: Caller, purpose: Purpose, key: int, step: str) -> AuditEntry:
    details = {"purpose": purpose.value, "key": str(key), "step": step}
    return ctx.audit(caller, Action.ENCRYPTION_RETIRE, details=details)
