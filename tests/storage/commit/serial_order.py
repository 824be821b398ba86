"""Says whether answers that were given at the same time could have been given one at a time.

Rivals are the other changes that wanted the very same: this record at this version, or this
claim. The rules, and why each is exact:

- *committed*: `plans.fold` puts them in a row (each version of a record once, without a gap,
  each claim once) and all tables equal the result, so nothing of any other change is there.
- *stale*: the caller had not seen the record one version below (refused before the record came
  there, or after it had moved on); or a rival was committed; or a rival held the row while this
  one was decided, and was itself refused afterwards, by another guard or by the schema. That
  last one is spurious and allowed: the holder of a row is the first of its batch, or is in
  another lane, and it is not waited for. Such a holder always exists among the rivals with an
  answer other than stale on this table: of the rivals that held the row, the last to be
  answered cannot itself have been refused for the row.
- *claimed*: it existed at the start, or a rival was committed. Nothing spurious: the caller is
  sent to look it up, so it must be there.
  A reference is looked for by those who are told so, and it need not be there: as with *stale*,
  the first of a batch may have had it, and have been refused by another guard or by the schema.
- *busy*: a rival exists, in another lane. One lane is never busy.
- *impossible*: the plan itself is illegal, or opens an attempt where another committed change
  opened one; and its guards could hold: the record came to the version below.
"""

from collections import defaultdict
from collections.abc import Sequence

from tests.storage.commit.plans import COMMITTED, IMPOSSIBLE, Outcome, Plan, World, fold
from tests.storage.stored import Stored


def assert_serial(world: World, outcomes: Sequence[Outcome], found: Stored, *, lanes: int) -> None:
    """Assert that answers and tables are those of some order, one change at a time."""
    expected = fold(world, outcomes)
    # Only what differs is compared by `assert`: of the whole, pytest would make a diff for minutes.
    places = expected.records.keys() | found.records.keys()
    pairs = {place: (expected.records.get(place), found.records.get(place)) for place in places}
    differing = {place: pair for place, pair in pairs.items() if pair[0] != pair[1]}
    assert not differing, "expected and found differ"
    lost, surplus = expected.jobs - found.jobs, found.jobs - expected.jobs
    assert not lost, "jobs are lost"
    assert not surplus, "jobs were written that nobody was told of"
    story = _Story(world, outcomes, lanes)
    for outcome in outcomes:
        assert story.justifies(outcome), f"not justified: {outcome}"


class _Story:
    """The answers, so arranged that a change finds its rivals at once."""

    def __init__(self, world: World, outcomes: Sequence[Outcome], lanes: int) -> None:
        self._world = world
        self._lanes = lanes
        self._wanting: defaultdict[object, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            for target in outcome.plan.targets().items():
                self._wanting[target].append(outcome)
            if outcome.plan.claim is not None:
                self._wanting[outcome.plan.claim].append(outcome)
            if outcome.plan.reserve is not None:
                self._wanting["reference_claim", outcome.plan.reserve].append(outcome)
        committed = [o.plan for o in outcomes if o.answer == COMMITTED]
        self._reached = {p.intent for p in committed}
        self._opened = {p.intent[0] for p in committed if p.intent and p.attempt == "open"}

    def justifies(self, outcome: Outcome) -> bool:
        """Whether a rule of this file allows the answer."""
        plan, answer = outcome.plan, outcome.answer
        if answer == COMMITTED:
            return plan.legal or plan.intent is None
        if answer == IMPOSSIBLE:
            return self._is_impossible(plan)
        reason, table = answer.split()
        if reason == "stale":
            rivals = self._rivals(outcome, (table, plan.targets()[table]))
            return table not in plan.seen or any(o.answer != answer for o in rivals)
        if table == "reference_claim":
            rivals = self._rivals(outcome, (table, plan.reserve))
            return any(o.answer != answer for o in rivals) and (
                reason == "claimed" or self._lanes > 1
            )
        assert plan.claim is not None
        assert plan.claim[0] == table
        rivals = self._rivals(outcome, plan.claim)
        if reason == "busy":
            return self._lanes > 1 and bool(rivals)
        at_start = self._world.events if table == "provider_event" else self._world.keys
        return plan.claim[1] < at_start or any(o.answer == COMMITTED for o in rivals)

    def _rivals(self, outcome: Outcome, wanted: object) -> list[Outcome]:
        return [other for other in self._wanting[wanted] if other is not outcome]

    def _is_impossible(self, plan: Plan) -> bool:
        if plan.intent is None:
            return False
        intent, version = plan.intent
        below = version - 1 == 1 or (intent, version - 1) in self._reached
        collides = plan.attempt == "open" and intent in self._opened
        return below and (not plan.legal or collides)
