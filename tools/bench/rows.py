"""Every row of the benchmark: its name, what it means, and its goal. Imports nothing of ours, for
`--help` shows it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

Sample = Mapping[str, float]
"""What one round measured, by the row's key."""


class Row(NamedTuple):
    """A row of the table. Units: `/s` is so many a second, `x` a ratio."""

    name: str
    unit: str
    explained: str = ""
    """For `--help`; a row without belongs to the one above."""
    goal: str = ""
    against: str = ""
    """The goal of the ratio to the other revision."""


def _cpu(key: str, goal: str = "") -> dict[str, Row]:
    """The CPU of what another row counts."""
    return {
        f"{key}/gateway": Row("  CPU, gateway", "ms"),
        f"{key}/database": Row("  CPU, database", "ms"),
        f"{key}/cpu": Row("  CPU, both", "ms", against=goal),
    }


def _pgbench(key: str, goal: str) -> dict[str, Row]:
    """What stands beside a rate of commits."""
    return {
        f"{key}/limit": Row("  pgbench, same rows", "/s"),
        f"{key}/ratio": Row("  ratio to pgbench", "x", goal=goal),
    }


ROWS: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "door": Row(
            "commit door",
            "/s",
            "creates with two seals each, committed by one process for 32 callers without HTTP;"
            " beside it pgbench writes the same rows on the same server, one transaction each",
        ),
        **_pgbench("door", ">= 1.3"),
        "create": Row(
            "create, end to end",
            "/s",
            "creates under an idempotency key over TLS, as fast as they are answered; beside it"
            " pgbench as above, with all rows of such a create",
        ),
        **_pgbench("create", ">= 1.0"),
        **_cpu("create"),
        "replay": Row(
            "replay of a create", "/s", "the same creates again, answered from their keys"
        ),
        "replay/ratio": Row("  ratio to a create", "x", goal=">= 1"),
        "create/p50": Row(
            "create at 200/s, p50",
            "ms",
            "the whole latency of a create at a fixed rate, counted from when it was due",
            goal="< 5",
        ),
        "create/p99": Row("create at 200/s, p99", "ms"),
        "confirm/p50": Row(
            "confirm's own, p50",
            "ms",
            "the latency of a confirm at 50/s, less what the gateway waited for the provider",
            goal="< 3",
        ),
        "confirm/p99": Row("confirm's own, p99", "ms"),
        "explain/p50": Row(
            "explain, p50",
            "ms",
            "the whole latency of one timeline after another, of a payment with 200 entries",
        ),
        "explain/p99": Row("explain, p99", "ms", goal="< 100"),
        "idle/gateway": Row(
            "idle, gateway CPU",
            "ms/s",
            "a gateway (API and worker, not the sandbox) that nobody asks, and its database",
            goal="< 2",
        ),
        "idle/database": Row("idle, database CPU", "ms/s"),
        "idle/transactions": Row("idle, transactions", "/s"),
        "payment": Row(
            "complete payment",
            "/s",
            "create, confirm, and the provider's event received and applied",
            against=">= 2",
        ),
        **_cpu("payment", "<= 0.40"),
        "payment/transactions": Row(
            "  transactions",
            "",
            "of the database for each payment, reads too, less those of an idle gateway",
        ),
        "payment/wal": Row("  WAL", "KiB", "written to PostgreSQL's log for each payment"),
        "payment/fsyncs": Row("  fsyncs of the WAL", ""),
        "refund": Row(
            "refund",
            "/s",
            "a part of a payment given back under an idempotency key, as fast as it is answered;"
            " the provider's event of it, received and applied, is in the CPU",
        ),
        **_cpu("refund"),
        "accepted": Row(
            "webhook accepted",
            "/s",
            "signed events of payments that are not ours, answered 200",
            against=">= 2",
        ),
        "applied": Row(
            "webhook applied",
            "/s",
            "the same, accepted and applied: until the last of them is done with",
            against=">= 2",
        ),
        **_cpu("applied"),
        "connections": Row(
            "database connections",
            "",
            "after the load above; their memory is what no other process shares",
            against="<= 0.5",
        ),
        "connections/memory": Row("  their memory", "MiB"),
        "delivered": Row(
            "webhook delivered",
            "/s",
            "events of a merchant's, from a backlog, signed and sent to one healthy endpoint",
            goal=">= 1,000",
        ),
        "told/p99": Row(
            "merchant told, p99",
            "ms",
            "from an event to its webhook at 50/s, and the same while ten other endpoints hang",
        ),
        "told/hanging": Row("  ten others hang", "ms"),
        "told/more": Row("  more than alone", "ms", goal="< 1,000"),
        "stored": Row(
            "create, 100,000 stored",
            "/s",
            "creates when so many payments are stored, beside those of the row `create`",
        ),
        "stored/ratio": Row("  ratio to few stored", "x", goal=">= 0.8"),
        "million": Row("create, million stored", "/s", "the same (--full)"),
        "million/ratio": Row("  ratio to few stored", "x", goal=">= 0.8"),
        "reconcile": Row(
            "reconcile",
            "s",
            "`paygate reconcile` on 100,000 payments in step, its calls of the provider, and the"
            " most memory it took; the sandbox renders each payment on the same cores",
            goal="< 60",
        ),
        "reconcile/calls": Row("  calls", "calls"),
        "reconcile/memory": Row("  peak memory", "MiB", goal="< 200"),
        "verify": Row(
            "ledger verify",
            "s",
            "`paygate ledger verify` on all that is stored (--full), and the most memory it took",
        ),
        "verify/memory": Row("  peak memory", "MiB", goal="flat"),
        "settled": Row(
            "settle 100,000 lines",
            "s",
            "`paygate settle --report` on a report of so many lines against as many records, with"
            " discrepancies of every kind that it can tell, until the last commit; a run that does"
            " not find exactly these fails. The memory is that of all its processes at the most",
        ),
        "settled/rate": Row("  lines", "/s"),
        "settled/memory": Row("  peak memory", "MiB", goal="< 500"),
        "settled_million": Row("settle a million lines", "s", "the same (--full)", goal="< 60"),
        "settled_million/rate": Row("  lines", "/s"),
        "settled_million/memory": Row("  peak memory", "MiB", goal="< 500"),
        "doubt": Row(
            "in doubt resolved",
            "s",
            "10,000 attempts without a reply, looked up by the worker's rounds at a slow provider"
            " (--full)",
            goal="< 900",
        ),
    }
)


def explained() -> str:
    """Every explanation, for `--help`."""
    return "\n\n".join(f"{row.name}: {row.explained}." for row in ROWS.values() if row.explained)
