"""Wrap the keysets under another key-encryption key. The keys stay, so no record is touched.

A process that runs goes on with the keys that it has; one that is started with the old
key-encryption key is refused.
"""

from paygate.crypto.kms import Kms
from paygate.domain.access.roles import Action, Caller
from paygate.flows.context import Context
from paygate.flows.encryption.loaded import refuse_older_keysets


async def rewrap_keysets(ctx: Context, caller: Caller, kms: Kms) -> None:
    """Wrap every keyset under `kms`, all in one commit.

    Raises:
        KeyringError: a keyset does not open, or not again under the new key.
    """
    loaded = await ctx.keysets.load()
    await refuse_older_keysets(ctx, loaded.generation)
    await ctx.keysets.rewrap(loaded, kms, ctx.audit(caller, Action.ENCRYPTION_REWRAP))
