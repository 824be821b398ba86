"""One SQL statement for a whole batch of changes, the guards decided inside it.

Order matters: compare-and-set guards lock first (skipping rows held elsewhere), records that must
stand are compared next, then reservations are made; claims are inserted after, and only changes
that hold every guard write their rows. So no change is ever half held, and no client round trip
stands inside a transaction.

Only names that are declared (`tables`) reach the text; every value is a parameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from paygate.storage.stored import Table


class Mode(Enum):
    """How a section writes its table."""

    ADVANCE = "advance"
    """Compare-and-set: the row must stand one version below."""
    STAND = "stand"
    """Compare alone: the row must stand at this version, and is not written."""
    CLAIM = "claim"
    """An insert that meets a conflict where a row has the same claim. The insert itself decides, so
    the claim is a change's last guard, and the only one of its kind."""
    RESERVE = "reserve"
    """The same, decided by a look under the claim's lock and inserted with all that is held: so a
    change may have it beside a claim."""
    INSERT = "insert"
    ENQUEUE = "enqueue"
    """Jobs, in the queue's own table."""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A table and how a batch writes it. At most one row a change.

    Compared by identity: there is one of each (`records`), and it is hashed for every row.
    """

    table: Table
    mode: Mode

    @property
    def guards(self) -> bool:
        """Whether it can refuse a change."""
        return self.mode in (Mode.ADVANCE, Mode.STAND, Mode.RESERVE, Mode.CLAIM)


STALE: Final = 0
CLAIMED: Final = 1
BUSY: Final = 2
VERDICTS_PER_SECTION: Final = 3
"""The codes of a section: `why` is 3 x its place + one of the above; a row with -1 is held."""

CLAIM_LOCK_SEED: Final = 7
"""The seed that sets claim locks apart from other 64-bit advisory locks."""


class _Text:
    """Collects the parts of the statement and numbers its parameters."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.parameters = 2  # $1 ords, $2 needs

    def rows(self, place: int, table: Table) -> None:
        """The section's rows as a relation: `ord` and the table's columns."""
        names = ("ord", *table.names)
        types = ("int4", *(column.sql_type for column in table.columns))
        first = self.parameters + 1
        arrays = ", ".join(f"${first + i}::{kind}[]" for i, kind in enumerate(types))
        self.parameters += len(types)
        self.parts.append(
            f"row_{place} AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS c({', '.join(names)}))"
        )

    def add(self, part: str) -> None:
        self.parts.append(part)


def _lock(text: _Text, place: int, table: Table) -> None:
    # One row at a time by the key: the plan is made before the table has statistics, and a join
    # would be planned as a scan of the whole.
    text.add(
        f"locked_{place} AS MATERIALIZED (SELECT c.ord, t.merchant, t.id FROM row_{place} c"
        f" CROSS JOIN LATERAL (SELECT t.merchant, t.id FROM {table.name} t"
        " WHERE t.merchant = c.merchant AND t.id = c.id AND t.version = c.version - 1"
        " FOR NO KEY UPDATE SKIP LOCKED) t)"
    )
    # Twins in one batch both locked the row: the first twin has it.
    text.add(
        f"won_{place} AS MATERIALIZED (SELECT DISTINCT ON (merchant, id) ord"
        f" FROM locked_{place} ORDER BY merchant, id, ord)"
    )


def _stand(text: _Text, place: int, table: Table) -> None:
    # Nothing is locked: a change that moves the row at the same time comes after this change, which
    # has written nothing that the other would have read.
    text.add(
        f"won_{place} AS MATERIALIZED (SELECT c.ord FROM row_{place} c"
        f" WHERE (SELECT t.version FROM {table.name} t"
        " WHERE t.merchant = c.merchant AND t.id = c.id) = c.version)"
    )


def _try(text: _Text, place: int, table: Table, among: str) -> None:
    """Whether the claim's lock is ours: never waited for, and one try for all twins in a batch."""
    key = ", ".join(table.claimed_by)
    text.add(
        f"tried_{place} AS MATERIALIZED (SELECT k.*, pg_try_advisory_xact_lock(hashtextextended("
        f"concat_ws(chr(31), '{table.name}', {key}), {CLAIM_LOCK_SEED})) AS mine FROM"
        f" (SELECT DISTINCT ON ({key}) * FROM row_{place}"
        f" WHERE ord IN (SELECT ord FROM {among}) ORDER BY {key}, ord) k)"
    )


def _reserve(text: _Text, place: int, table: Table) -> None:
    # Whoever inserts holds the lock until the commit is seen by all, and the function looks with a
    # snapshot of its own, taken when the lock is ours: what it does not see is not there.
    _try(text, place, table, "moved")
    key = ", ".join(table.claimed_by)
    text.add(
        f"won_{place} AS MATERIALIZED (SELECT ord FROM tried_{place}"
        f" WHERE CASE WHEN mine THEN NOT {table.looked_up_by}({key}) END)"
    )


def _claim(text: _Text, place: int, table: Table) -> None:
    _try(text, place, table, "passed")
    key = ", ".join(table.claimed_by)
    columns = ", ".join(table.names)
    text.add(
        f"new_{place} AS (INSERT INTO {table.name} ({columns}) SELECT {columns}"
        # An existing row is not inserted again: that would wait for the change that advances the
        # row. A scalar subquery, one row at a time: NOT EXISTS would be planned as a join, as
        # above.
        f" FROM tried_{place} c WHERE mine AND (SELECT true FROM {table.name} t"
        f" WHERE ({', '.join(f't.{name}' for name in table.claimed_by)})"
        f" = ({', '.join(f'c.{name}' for name in table.claimed_by)}) LIMIT 1) IS NULL"
        f" ORDER BY {key}"
        f" ON CONFLICT ({key}) DO NOTHING RETURNING merchant, id)"
    )
    text.add(
        f"won_{place} AS MATERIALIZED (SELECT t.ord FROM tried_{place} t"
        f" JOIN new_{place} USING (merchant, id))"
    )


def _write(text: _Text, place: int, section: Section) -> None:
    table = section.table
    held = f"FROM row_{place} c JOIN held USING (ord)"
    columns = ", ".join(table.names)
    if section.mode is Mode.ADVANCE:
        changed = [name for name in table.names if name not in ("merchant", "id")]
        sets = ", ".join(f"{name} = c.{name}" for name in changed)
        text.add(
            f"written_{place} AS (UPDATE {table.name} t SET {sets} {held}"
            " WHERE t.merchant = c.merchant AND t.id = c.id AND t.version = c.version - 1)"
        )
    elif section.mode in (Mode.INSERT, Mode.RESERVE):
        text.add(
            f"written_{place} AS (INSERT INTO {table.name} ({columns}) SELECT {columns} {held})"
        )
    elif section.mode is Mode.ENQUEUE:
        # What the queue's own enqueue does, in our statement; its log of queued jobs is left out.
        text.add(
            f"written_{place} AS (INSERT INTO {table.name}"
            " (priority, entrypoint, payload, execute_after, status)"
            f" SELECT 0, c.entrypoint, c.payload, now() + c.delay, 'queued' {held})"
        )


def _stale_case(place: int) -> str:
    return (
        f"WHEN needs & {1 << place} <> 0 AND ord NOT IN (SELECT ord FROM won_{place})"
        f" THEN {VERDICTS_PER_SECTION * place + STALE}"
    )


def _claim_case(place: int, table: Table) -> str:
    """The code of a claim that failed: busy for every change of the batch with that claim, not only
    for the one that tried, since the other transaction may yet roll back and nothing may exist.
    """
    key = ", ".join(table.claimed_by)
    busy, claimed = (VERDICTS_PER_SECTION * place + kind for kind in (BUSY, CLAIMED))
    return (
        f"WHEN needs & {1 << place} <> 0 AND ord NOT IN (SELECT ord FROM won_{place})"
        f" THEN CASE WHEN ord IN (SELECT r.ord FROM row_{place} r JOIN tried_{place} t"
        f" USING ({key}) WHERE NOT t.mine) THEN {busy} ELSE {claimed} END"
    )


def _holders(places: Sequence[int]) -> str:
    """The changes that hold every guard of theirs among the sections at these places."""
    held = [f"(needs & {1 << p} = 0 OR ord IN (SELECT ord FROM won_{p}))" for p in places]
    return f"SELECT ord FROM change WHERE {' AND '.join(held) or 'true'}"


def build(sections: Sequence[Section]) -> str:
    """The statement for a batch that has exactly these sections, in this order.

    Parameters: `ords int4[]` and `needs int4[]` of the changes (bit i: section i guards it),
    then for each section `ord int4[]` and an array per column. The statement returns `(ord, why)`
    of the conflicts alone.
    """
    text = _Text()
    text.add(
        "change AS MATERIALIZED (SELECT * FROM unnest($1::int4[], $2::int4[]) AS c(ord, needs))"
    )
    for place, section in enumerate(sections):
        text.rows(place, section.table)
    advances = [p for p, s in enumerate(sections) if s.mode is Mode.ADVANCE]
    stands = [p for p, s in enumerate(sections) if s.mode is Mode.STAND]
    reserves = [p for p, s in enumerate(sections) if s.mode is Mode.RESERVE]
    claims = [p for p, s in enumerate(sections) if s.mode is Mode.CLAIM]
    for place in advances:
        _lock(text, place, sections[place].table)
    for place in stands:
        _stand(text, place, sections[place].table)
    if reserves:
        text.add(f"moved AS MATERIALIZED ({_holders(advances + stands)})")
    for place in reserves:
        _reserve(text, place, sections[place].table)
    text.add(f"passed AS MATERIALIZED ({_holders(advances + stands + reserves)})")
    for place in claims:
        _claim(text, place, sections[place].table)
    cases = [_stale_case(p) for p in advances + stands]
    cases += [_claim_case(p, sections[p].table) for p in reserves + claims]
    why = f"CASE {' '.join(cases)} ELSE -1 END" if cases else "-1"
    text.add(f"verdict AS MATERIALIZED (SELECT ord, {why} AS why FROM change)")
    text.add("held AS MATERIALIZED (SELECT ord FROM verdict WHERE why < 0)")
    for place, section in enumerate(sections):
        _write(text, place, section)
    return f"WITH {', '.join(text.parts)} SELECT ord, why FROM verdict WHERE why >= 0"
