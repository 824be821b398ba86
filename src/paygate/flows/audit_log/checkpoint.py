"""Checkpoints: the head of the chain, signed and told to somebody outside; and whether the chain
that is here still extends what was told.
"""

from typing import Final, NamedTuple

import msgspec

from paygate.crypto.audit_keys import Signature
from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry
from paygate.domain.audit_chain import (
    Checkpoint,
    Gap,
    Head,
    checkpoint_message,
    digest_of,
    head_message,
    line_of,
)
from paygate.flows.context import Context
from paygate.storage.installation import DEFAULT_MERCHANT

LOST: Final = "lost"
CHECKPOINT: Final = "checkpoint"
HEAD: Final = "head"
"""The details by which the entry of a restore declares a gap."""

NOT_OURS: Final = "the head of the audit log asks for a proof that is not made of our key"

_decode: Final = msgspec.json.Decoder(Checkpoint).decode


class Contradiction(Exception):
    """The chain does not extend what was told outside, or is not as we left it."""


class Declared(NamedTuple):
    """An entry that declares a gap behind `head`, up to the checkpoint `told`."""

    head: Head
    told: Head
    by: str

    @property
    def gap(self) -> Gap:
        """The numbers that are lost."""
        return Gap(self.head.number + 1, self.told.number, self.by)


def made(ctx: Context, head: Head, previous: bytes | None) -> bytes:
    """The line of a checkpoint of this head, which follows the line `previous`."""
    unsigned = Checkpoint(
        installation=ctx.installation,
        number=head.number,
        hash=head.hash.hex(),
        at=ctx.now().isoformat(),
        previous="" if previous is None else digest_of(previous),
        key=ctx.audit_keys.primary,
        signature="",
    )
    signature = ctx.audit_keys.sign(checkpoint_message(unsigned))
    return line_of(msgspec.structs.replace(unsigned, signature=signature.signature.hex()))


def read(ctx: Context, line: bytes) -> Checkpoint:
    """The checkpoint in a line. Raises Contradiction: it is none of this installation's."""
    try:
        checkpoint = _decode(line)
        signature = Signature(checkpoint.key, bytes.fromhex(checkpoint.signature))
        _ = checkpoint.head
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Contradiction("a checkpoint outside cannot be read") from None
    if checkpoint.installation != ctx.installation:
        raise Contradiction("a checkpoint outside is of another installation")
    if not ctx.audit_keys.signed(checkpoint_message(checkpoint), signature):
        raise Contradiction(f"the checkpoint outside of entry {checkpoint.number} is not ours")
    return checkpoint


async def last_told(ctx: Context) -> bytes | None:
    """The last checkpoint that somebody outside has, as far as that can be known here.

    Raises:
        OSError: the file cannot be read.
    """
    if ctx.checkpoints is None:
        return None
    line = await ctx.checkpoints.last()
    if line is None and ctx.checkpoints.lines() is None:
        kept = (await ctx.audit_seals.state()).checkpoint
        line = None if kept is None else kept.encode()
    return line


def details_of(head: Head, told: Head) -> dict[str, str]:
    """What an entry says that declares a gap."""
    return {
        HEAD: f"{head.number}:{head.hash.hex()}",
        CHECKPOINT: f"{told.number}:{told.hash.hex()}",
        LOST: f"{head.number + 1}-{told.number}",
    }


def declared_in(entry: AuditEntry) -> Declared | None:
    """What an entry declares; None when it declares no gap."""
    if entry.action is not Action.RESTORE_DECLARE or LOST not in entry.details:
        return None
    return Declared(
        _head(entry.details[HEAD]), _head(entry.details[CHECKPOINT]), entry.actor.name or ""
    )


def _head(text: str) -> Head:
    number, _, digest = text.partition(":")
    return Head(int(number), bytes.fromhex(digest))


async def check_extends(ctx: Context) -> AuditEntry | None:
    """See that the chain is whole at its end, and extends the last checkpoint outside. Returns the
    entry that is to be sealed first: it declares the gap behind which the chain goes on.

    Raises:
        Contradiction: it does not.
        OSError: the file of checkpoints cannot be read.
    """
    state, last = await ctx.audit_seals.state(), await ctx.audit_seals.last()
    head = state.head
    if not ctx.audit_seals.may_move(state.turn):
        raise Contradiction(NOT_OURS)
    if (0 if last is None else last.number) != head.number:
        raise Contradiction(f"the head is entry {head.number}, and not the last one that is there")
    if last is not None:
        if last.hash != head.hash or last.signature is None:
            raise Contradiction(f"entry {last.number} is not what was sealed last")
        signature = Signature(last.key, last.signature)
        if not ctx.audit_keys.signed(head_message(ctx.installation, head), signature):
            raise Contradiction(f"the signature of entry {last.number} is not ours")
    line = await last_told(ctx)
    if line is None:
        return None
    told = read(ctx, line).head
    if told.number > head.number:
        return await _declaration(ctx, head, told)
    await check_told(ctx, told)
    return None


async def _declaration(ctx: Context, head: Head, told: Head) -> AuditEntry:
    for entry in await ctx.audit_seals.restores(DEFAULT_MERCHANT):
        declared = declared_in(entry)
        if declared is not None and (declared.head, declared.told) == (head, told):
            return entry
    raise Contradiction(
        f"the log ends at entry {head.number}, and entry {told.number} was told outside"
    )


async def check_told(ctx: Context, told: Head) -> None:
    """See that what was told is in the chain, or in a declared gap. Raises Contradiction."""
    if told.number == 0:
        return
    seal = await ctx.audit_seals.at(told.number)
    if seal is not None and seal.number == told.number:
        if seal.hash == told.hash:
            return
    elif seal is not None:
        entry = await ctx.audit_log.entry(seal.merchant, seal.entry, seal.at)
        declared = None if entry is None else declared_in(entry)
        if declared is not None and declared.told == told:
            return
    raise Contradiction(f"entry {told.number} is not the one that was told outside")
