"""One walk along the chain of the audit log, link by link, beside the checkpoints outside."""

from collections.abc import Iterator
from typing import Final

import msgspec

from paygate.crypto.audit_keys import Signature
from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry
from paygate.domain.audit_chain import (
    FORMAT,
    Checkpoint,
    Gap,
    Head,
    Seal,
    digest_of,
    hash_of,
    head_message,
    leaf_of,
)
from paygate.flows.audit_log.checkpoint import Contradiction, declared_in, read
from paygate.flows.audit_log.detached import Detached
from paygate.flows.context import Context
from paygate.storage.audit_chain import Link
from paygate.storage.unreadable import Unreadable

SIGNATURES_EVERY: Final = 1000
"""How many entries apart signatures are checked: each is of all before it, and takes a tenth of a
millisecond. The last one is checked always."""


class Fault(msgspec.Struct, frozen=True):
    """What is not as it was: an entry by its number or its id, where it has them."""

    number: int | None
    entry: str | None
    what: str

    def words(self) -> str:
        """In a sentence."""
        names = [f"number {self.number}"] * (self.number is not None)
        names += [self.entry] if self.entry is not None else []
        return f"audit entry {', '.join(names) or '-'}: {self.what}"


class Told:
    """The checkpoints outside, in their order, as far as the walk has come."""

    def __init__(self, ctx: Context, lines: Iterator[bytes] | None, after: int) -> None:
        """Of those up to the entry `after` it is only seen that one follows another."""
        self._ctx = ctx
        self._lines = iter(()) if lines is None else lines
        self._after = after
        self._before: bytes | None = None
        self._next: Checkpoint | None = None
        self._fault: Fault | None = None
        self._unread: Fault | None = None
        """Of a line that a crash cut off, unless the next one shows that nothing is lacking."""
        self.agreed = 0
        self._advance()

    @property
    def fault(self) -> Fault | None:
        """What is wrong with the checkpoints themselves."""
        return self._fault or (self._unread if self._next is None else None)

    def at(self, seal: Seal) -> Fault | None:
        """Hold the seal against what was told of its number."""
        while self._next is not None and self._next.number <= seal.number:
            told = self._next
            if told.number == seal.number and told.head.hash != seal.hash:
                what = "its hash is not the one that was told outside"
                return Fault(seal.number, seal.entry, what)
            if told.number < seal.number:
                return Fault(told.number, None, "it was told outside, and is not there")
            self.agreed += 1
            self._advance()
        return self.fault

    def forget(self, gap: Gap, last: Head | None) -> Fault | None:
        """Pass over what was told of numbers that a restore made forgotten; the last of them is the
        one that its declaration names, where that is still there.
        """
        newest: Checkpoint | None = None
        while self._next is not None and self._next.number <= gap.last:
            newest = self._next
            self._advance()
        if newest is not None and last is not None and newest.head != last:
            what = "the declared gap ends elsewhere than what was told outside"
            return Fault(gap.last, None, what)
        return self.fault

    def end(self, head: Head) -> Fault | None:
        """Whether more was told than there is."""
        newest = None
        while self._next is not None:
            newest = self._next
            self._advance()
        if newest is None:
            return self.fault
        return Fault(
            head.number + 1,
            None,
            f"the log ends at number {head.number}, and number {newest.number} was told outside",
        )

    def _advance(self) -> None:
        self._next = None
        for line in self._lines:
            try:
                told = read(self._ctx, line)
            except Contradiction as fault:
                self._unread = Fault(None, None, str(fault))
                continue
            follows = "" if self._before is None else digest_of(self._before)
            if told.previous == follows:
                self._unread = None
            elif self._before is not None or self._unread is not None:
                what = f"its checkpoint outside ({told.number}) does not follow the one before"
                self._fault = self._fault or self._unread or Fault(None, None, what)
            self._before = line
            if told.number > self._after:
                self._next = told
                return


class Chain:
    """The walk. `head` is the last link that was as it should be."""

    def __init__(self, ctx: Context, told: Told, start: Head, detached: Detached) -> None:
        self._ctx = ctx
        self._detached = detached
        self._confirmed: set[str] = set()
        self._started_at = start.number
        self._checked_at = start.number
        self.told = told
        self.head = start
        self.entries = 0
        self.detached = 0
        self.gaps: list[Gap] = []

    def follow(self, link: Link) -> Fault | None:
        """Go on by a link; what is wrong with it, if something is."""
        seal = link.seal
        fault = (
            self._number(link)
            or self._content(link)
            or self._hash(seal)
            or self._signature(seal)
            or self.told.at(seal)
        )
        if fault is not None:
            return fault
        if isinstance(link.record, AuditEntry) and link.record.action is Action.AUDIT_DETACH:
            self._confirmed.add(link.record.id)
        self.head = Head(seal.number, seal.hash)
        return None

    def end(self, head: Head, last: Seal | None) -> Fault | None:
        """What is wrong with the end of the chain, if something is."""
        if self.head != head:
            what = f"the log's head is number {head.number}, and its last entry {self.head.number}"
            return Fault(min(head.number, self.head.number) + 1, None, what)
        if last is not None and not self._signed(last):
            return Fault(last.number, last.entry, "the last entry is not signed by us")
        lacking = self._detached.entries - self._confirmed
        if self.detached and lacking and self._started_at == 0:
            what = "it declares months to be taken away, and is not sealed"
            return Fault(None, min(lacking), what)
        return self.told.end(head)

    def _number(self, link: Link) -> Fault | None:
        """Whether the number is the next one, or the one behind a gap that the entry declares."""
        number, expected = link.seal.number, self.head.number + 1
        if number == expected:
            return None
        declared = declared_in(link.record) if isinstance(link.record, AuditEntry) else None
        if declared is not None and declared.head == self.head:
            gap, told = declared.gap, declared.told
            if (gap.first, gap.last) == (expected, number - 1):
                self.gaps.append(gap)
                return self.told.forget(gap, told)
        if link.entry is None and f"{expected}-{number - 1}" in self._detached.gaps:
            gap = Gap(expected, number - 1)
            self.gaps.append(gap)
            return self.told.forget(gap, None)
        what = "it is gone" if number == expected + 1 else f"it and all up to {number - 1} are gone"
        return Fault(expected, None, what)

    def _content(self, link: Link) -> Fault | None:
        seal, entry, record = link
        if entry is None and record is None and seal.at < self._detached.before:
            self.detached += 1
            return None
        if entry is None:
            what = "it is gone" if record is None else "it does not open: it was changed"
            return Fault(seal.number, seal.entry, what)
        if seal.format != FORMAT:
            what = f"its seal is of format {seal.format}, which this version does not know"
            return Fault(seal.number, seal.entry, what)
        salt = self._ctx.audit_keys.salt(seal.key, seal.merchant, seal.entry)
        if salt is None:
            return Fault(seal.number, seal.entry, f"there is no key {seal.key}")
        if leaf_of(salt, entry) != seal.leaf or isinstance(record, Unreadable):
            return Fault(seal.number, seal.entry, "it is not what was sealed")
        self.entries += 1
        return None

    def _hash(self, seal: Seal) -> Fault | None:
        if hash_of(self._ctx.installation, self.head.hash, seal) == seal.hash:
            return None
        return Fault(seal.number, seal.entry, "it does not follow the entry before it")

    def _signature(self, seal: Seal) -> Fault | None:
        if seal.signature is None or seal.number - self._checked_at < SIGNATURES_EVERY:
            return None
        self._checked_at = seal.number
        if self._signed(seal):
            return None
        return Fault(seal.number, seal.entry, "its signature is not ours")

    def _signed(self, seal: Seal) -> bool:
        if seal.signature is None:
            return False
        message = head_message(self._ctx.installation, Head(seal.number, seal.hash))
        return self._ctx.audit_keys.signed(message, Signature(seal.key, seal.signature))
