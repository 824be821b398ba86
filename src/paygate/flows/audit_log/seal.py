"""The sealer: gives each entry of the audit log its number and its hash, in the order of commits,
and signs the last of each batch. It runs in every worker, and one of all has the turn.

Before its first seal it holds the chain against the last checkpoint outside. What does not extend
that is not signed: entries then wait unsealed, and people are told. Payments never wait for it.
"""

import asyncio
from typing import Final

from paygate.crypto.audit_keys import Signature
from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import AuditEntry, Subject
from paygate.domain.audit_chain import FORMAT, Entry, Head, Seal, hash_of, head_message, leaf_of
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.audit_log.checkpoint import (
    Contradiction,
    check_extends,
    declared_in,
    last_told,
    made,
)
from paygate.flows.context import Context
from paygate.storage.audit_seals import SealedBefore, ToSeal
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.telemetry import log

BATCH: Final = 500
"""Some ten milliseconds of this process, which serves others as well."""
LOOK_SECONDS: Final = 0.8
"""How often it is looked for entries: they are to be sealed within a second."""
CHECKPOINT_SECONDS: Final = 60.0
"""A checkpoint is told no more often, and only of what is new."""
DOUBT_SECONDS: Final = 10.0
"""How often it is looked whether a contradiction is resolved; an outage of the database, too."""
FINISH_SECONDS: Final = 3.0
AUDIT_LOG: Final = Subject("audit_log", "audit_log")
JOB: Final = "seal-audit-log"


class LogSealer:
    """One run of a worker, or of a job."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._run = ctx.new_id("run")
        self._caller = Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, self._run)
        self._trusted = False
        self._sealed: Head | None = None
        """The head as this run left it, until a checkpoint of it was told."""
        self._told_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Seal until `stop`. An outage of the database is waited out."""
        pausing = LOOK_SECONDS
        done: str | None = None
        while not stop.is_set():
            try:
                written = await self._ctx.outbox.written()
                if written.until != done:
                    sealed = await self.seal_waiting()
                    done = written.until if written.whole and sealed == 0 else None
                await self._tell()
                pausing = LOOK_SECONDS
            except Contradiction as fault:
                self._trusted = False
                await self._say(fault)
                pausing = DOUBT_SECONDS
            except Exception as error:  # noqa: BLE001 -- whatever it was, the log is to be sealed
                self._trusted = False  # the schema may have refused what follows from the chain
                log.logger().error("audit_log_not_sealed", error=error)
                pausing = DOUBT_SECONDS
            await _stopped(stop, pausing)
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await self.seal_waiting()
                await self._tell(at_once=True)
        except Exception as error:  # noqa: BLE001 -- the next start tells
            log.logger().warning("audit_checkpoint_not_told", reason=type(error).__name__)

    async def seal_waiting(self) -> int:
        """Seal what waits, batch after batch; how many entries.

        Raises:
            Contradiction: the chain does not extend what was told outside.
        """
        count = 0
        while not self._trusted:
            sealed = await self._begin()
            count += sealed
            if not sealed and not self._trusted:
                return count  # another run seals
        astray = False
        while True:
            found = await self._ctx.audit_seals.next(self._run, BATCH, sealed=astray)
            if found is None:
                return count
            try:
                count += await self._seal(found)
                astray = False
            except SealedBefore:
                if astray:
                    raise
                astray = True
            await asyncio.sleep(0)

    async def seal_astray(self) -> int:
        """Seal what the order of commits passed by: what did not open then, and entries of another
        server that a dump brought here. How many.
        """
        count = passed_by = 0
        while True:
            state = await self._ctx.audit_seals.state()
            found = await self._ctx.audit_seals.astray(state, BATCH, passed_by)
            if found is None:
                return count
            sealed = await self._seal(found) if found.entries else 0
            count += sealed
            if sealed or not found.entries:
                passed_by += len(found.broken)  # they stay before all others

    async def tell(self) -> None:
        """Tell a checkpoint of what this run has sealed."""
        await self._tell(at_once=True)

    async def _begin(self) -> int:
        """Look at the chain before the first seal; how many entries that sealed."""
        declaration = await check_extends(self._ctx)
        if declaration is not None:
            return await self._go_on_behind(declaration)
        await self._ask()
        if (await self._ctx.audit_seals.state()).is_of_another_server:
            await self._ctx.audit_seals.begin_order_anew()
            log.logger().warning("audit_order_begun_anew")
            return await self.seal_astray()
        self._trusted = True
        return 0

    async def _ask(self) -> None:
        """Have whoever is not asked what they keep say whether the head follows that: before
        anything is signed behind it. Nobody who does not answer holds up the log.
        """
        place, head = self._ctx.checkpoints, (await self._ctx.audit_seals.state()).head
        if place is not None and place.lines() is None and head.number:
            self._sealed, self._trusted = head, True
            try:
                await self._tell(at_once=True)
            finally:
                self._trusted = False

    async def _go_on_behind(self, declaration: AuditEntry) -> int:
        """Seal a declared gap's entry with the number behind the gap."""
        declared = declared_in(declaration)
        assert declared is not None, "it was found by what it declares"
        stored = await self._ctx.audit_seals.stored(
            declaration.merchant, declaration.id, declaration.at
        )
        assert stored is not None, "it was just read"
        turn = (await self._ctx.audit_seals.state()).turn
        found = ToSeal(declared.head, turn, [stored], None, ())
        return await self._seal(found, first=declared.told.number + 1)

    async def _seal(self, found: ToSeal, *, first: int | None = None) -> int:
        for fault in found.broken:
            await report_unreadable(self._ctx, self._caller, fault)
        seals = self._chained(found, found.head.number + 1 if first is None else first)
        if not await self._ctx.audit_seals.seal(self._run, found, seals):
            self._trusted = False  # somebody else has sealed: look at what before going on
            return 0
        if seals:
            self._sealed = Head(seals[-1].number, seals[-1].hash)
        return len(seals)

    def _chained(self, found: ToSeal, first: int) -> list[Seal]:
        keys, installation = self._ctx.audit_keys, self._ctx.installation
        previous, seals = found.head.hash, list[Seal]()
        for number, entry in enumerate(found.entries, start=first):
            seals.append(self._sealed_behind(previous, number, entry))
            previous = seals[-1].hash
        if seals:
            last = seals[-1]
            message = head_message(installation, Head(last.number, last.hash))
            seals[-1] = last._replace(signature=keys.sign(message).signature)
        return seals

    def _sealed_behind(self, previous: bytes, number: int, entry: Entry) -> Seal:
        key = self._ctx.audit_keys.primary
        salt = self._ctx.audit_keys.salt(key, entry.merchant, entry.id)
        assert salt is not None, "the primary key is there"
        said = (number, entry.merchant, entry.id, entry.at, key, FORMAT, leaf_of(salt, entry))
        return Seal(*said, hash_of(self._ctx.installation, previous, Seal(*said, b"", None)), None)

    async def _tell(self, *, at_once: bool = False) -> None:
        """Tell a checkpoint outside, when there is something new and a minute is over."""
        place, head = self._ctx.checkpoints, self._sealed
        now = asyncio.get_running_loop().time()
        if place is None or head is None or not self._trusted:
            return
        if not at_once and now - self._told_at < CHECKPOINT_SECONDS:
            return
        self._told_at = now
        line = made(self._ctx, head, await last_told(self._ctx))
        kept = await place.put(line)
        if kept == "contradicted":
            raise Contradiction("who keeps the checkpoints says that the log does not extend them")
        if kept == "failed":
            log.logger().warning("audit_checkpoint_not_told", reason=place.name)
            return
        await self._ctx.audit_seals.keep_checkpoint(line.decode().rstrip("\n"))
        if self._sealed == head:
            self._sealed = None

    async def _say(self, fault: Contradiction) -> None:
        log.logger().error("audit_log_contradicted", reason=str(fault))
        try:
            await raise_alert(self._ctx, self._caller, tampered(str(fault)))
        except Exception as error:  # noqa: BLE001 -- said again in ten seconds
            log.logger().error("alert_not_raised", error=error)


async def seal_audit_log(ctx: Context) -> int:
    """Seal all that waits once, what was passed by as well; how many entries.

    Raises:
        Contradiction: the chain does not extend what was told outside.
    """
    sealer = LogSealer(ctx)
    try:
        count = await sealer.seal_waiting() + await sealer.seal_astray()
    except Contradiction as fault:
        await raise_alert(ctx, sealer_caller(ctx), tampered(str(fault)))
        raise
    await sealer.tell()
    return count


def sealer_caller(ctx: Context) -> Caller:
    """The sealer, as the audit log names it."""
    return Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, ctx.new_id("run"))


def tampered(what: str) -> Problem:
    """The problem that the log was changed."""
    return Problem(
        type=AlertType.AUDIT_TAMPERED,
        subject=AUDIT_LOG,
        severity="critical",
        message=what,
        what_to_do="If the database was put back to a backup, say so: `paygate restored`. If not,"
        " keep the database as it is and look who could write it; `paygate audit verify` names the"
        " first entry that is not as it was, and `paygate migrate --disown-seals` takes out seals"
        " at its end that somebody else wrote (docs/audit.md).",
    )


def signature_of(seal: Seal) -> Signature | None:
    """The signature that a seal bears."""
    return None if seal.signature is None else Signature(seal.key, seal.signature)


async def _stopped(stop: asyncio.Event, within_seconds: float) -> None:
    try:
        async with asyncio.timeout(within_seconds):
            await stop.wait()
    except TimeoutError:
        return
