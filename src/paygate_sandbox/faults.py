"""Faults that a tester orders: which calls and deliveries they strike, and how often they did.

They belong to the running process and go with it. It must never carry a fault out: it only says
whether one strikes here; the pipeline and the deliverer do the damage.

What each kind means for a call:
  rate_limit    429 before anything else is looked at; nothing saved under the key.
  error_before  500 before the endpoint executes: no effect, nothing saved, a retry may succeed.
  hang          a request with good parameters is held for `seconds` (default 600) BEFORE its
                effect, its key in use; then it goes on as if nothing had been, whether or not the
                client still listens. A sandbox that stops meanwhile cuts it, without effect.
  slow          the same with a default of 1 second.
  drop_reply    the effect and the saved answer happen, then the connection is cut.
  error_after   the effect happens; the answer, also the saved one, is a 500.
With `"hold": "after"`, hang and slow hold the reply instead: the effect and its webhooks go first.
On a replayed answer error_after does not strike, for there is no effect.

And for a webhook delivery (`seconds` where it matters):
  lose       never sent, never retried; for `events` the next events are hidden from GET /v1/events.
  duplicate  sent twice. delay: sent `seconds` (5) later.
  reorder    held until another delivery to that endpoint has gone, at most `seconds` (5).
  forge      before the true one, a tampered copy under a new event id, signed with a wrong secret.

And for a report that is made (on `reports`):
  stay_pending  for `seconds` (21600) more of the sandbox's clock it is not made.
  fail_run      it fails.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

# Where in a call's way, or a webhook's, a fault can strike. Each stage is drawn only where the
# damage can really be done, so that a fault counted as fired has fired.
Stage = Literal["arrival", "hold", "effect", "reply", "delivery", "event", "run"]

CALLS = frozenset(
    {
        "create",
        "confirm",
        "capture",
        "cancel",
        "refund",
        "disputes",
        "files",
        "customers",
        "payment_methods",
        "payouts",
        "reports",
        "retrieve",
        "list",
        "events",
    }
)
TARGETS = CALLS | {"webhook", "*"}

_DEFAULT_SECONDS = {
    "hang": 600.0,
    "slow": 1.0,
    "delay": 5.0,
    "reorder": 5.0,
    "stay_pending": 21_600.0,
}
_CALL_STAGES: dict[str, Stage] = {
    "drop_reply": "reply",
    "error_before": "arrival",
    "error_after": "effect",
    "hang": "hold",
    "slow": "hold",
    "rate_limit": "arrival",
}
_DELIVERY_KINDS = frozenset({"lose", "duplicate", "reorder", "delay", "forge"})
_RUN_KINDS = frozenset({"stay_pending", "fail_run"})
KINDS = frozenset(_CALL_STAGES) | _DELIVERY_KINDS | _RUN_KINDS


class FaultError(ValueError):
    """The order makes no sense; the sentence says why."""


@dataclass(slots=True)
class Fault:
    id: int
    on: str
    kind: str
    count: int | None
    probability: float | None
    seed: int | None
    seconds: float
    hold: Literal["before", "after"]
    fired: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def strikes(self, target: str, stage: Stage) -> bool:
        if self.on not in {target, "*"} or stage not in self._stages():
            return False
        if self.count is not None and self.fired >= self.count:
            return False
        if self.probability is not None and self._random.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def _stages(self) -> tuple[Stage, ...]:
        if self.kind in _DELIVERY_KINDS:
            return ("delivery", "event") if self.kind == "lose" else ("delivery",)
        if self.kind in _RUN_KINDS:
            return ("run",)
        return ("reply",) if self.hold == "after" else (_CALL_STAGES[self.kind],)

    def report(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "on": self.on,
            "kind": self.kind,
            "count": self.count,
            "probability": self.probability,
            "seed": self.seed,
            "seconds": self.seconds,
            "hold": self.hold,
            "fired": self.fired,
        }


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._fired: Counter[str] = Counter()
        self._made = 0

    def add(
        self,
        *,
        on: str,
        kind: str,
        count: int | None,
        probability: float | None,
        seed: int | None,
        seconds: float | None,
        hold: Literal["before", "after"],
    ) -> Fault:
        _check(on, kind, hold)
        if (count is None) == (probability is None):
            raise FaultError("give either count or probability")
        self._made += 1
        default = _DEFAULT_SECONDS.get(kind, 0.0)
        fault = Fault(
            id=self._made,
            on=on,
            kind=kind,
            count=count,
            probability=probability,
            seed=seed,
            seconds=default if seconds is None else seconds,
            hold=hold,
        )
        self._faults.append(fault)
        return fault

    def draw(self, target: str, stage: Stage) -> Fault | None:
        """The first fault that strikes here, counted as fired."""
        for fault in self._faults:
            if fault.strikes(target, stage):
                self._fired[fault.kind] += 1
                return fault
        return None

    def clear(self) -> int:
        """Nothing strikes from now on; what is already held stays held, totals stay counted."""
        cleared = len(self._faults)
        self._faults.clear()
        return cleared

    def report(self) -> dict[str, Any]:
        return {
            "faults": [fault.report() for fault in self._faults],
            "fired": dict(sorted(self._fired.items())),
        }


def _check(on: str, kind: str, hold: str) -> None:
    if on not in TARGETS:
        raise FaultError(f"unknown on {on!r}: one of {', '.join(sorted(TARGETS))}")
    if kind not in KINDS:
        raise FaultError(f"unknown kind {kind!r}: one of {', '.join(sorted(KINDS))}")
    targets = CALLS | {"*"}
    if kind in _DELIVERY_KINDS:
        targets = frozenset({"webhook", "*"}) | ({"events"} if kind == "lose" else frozenset())
    if kind in _RUN_KINDS:
        targets = frozenset({"reports"})
    if on not in targets:
        raise FaultError(f"{kind} can be on {', '.join(sorted(targets))}, not on {on}")
    if hold == "after" and kind not in {"hang", "slow"}:
        raise FaultError(f"only hang and slow can hold after the effect, not {kind}")
