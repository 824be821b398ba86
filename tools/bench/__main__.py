"""The benchmark's command, `paygate bench`: its options, and how errors leave."""

import sys
from typing import Annotated

import typer

from paygate.cli.command import run_async
from paygate.embedded.server import EmbeddedPostgresError
from paygate.storage.change import StorageError
from tools.bench import BenchError
from tools.bench.main import Options
from tools.bench.main import run as measure
from tools.bench.rows import explained

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=explained())
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print figures as JSON.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The million-row rows too.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One small round, to try it.")] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="How often each row is measured.", show_default="3")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Compare with another git revision, in turns."),
    ] = None,
) -> None:
    """Measure this machine: rates and latencies beside what its PostgreSQL can do.

    Each row is the least, the median and the most of its rounds, beside its
    goal. CPU is that of one create, payment or event: of all API and worker
    processes, and of all PostgreSQL's processes but the benchmark's own.

    With --against: the rows of another revision (a) and of this code (b), and
    b / a round by round, without the commit door and the many stored payments.
    The machine should do nothing else meanwhile.
    """
    if full and (quick or against is not None):
        raise typer.BadParameter("not with --quick or --against", param_hint="--full")
    options = Options(as_json=as_json, full=full, quick=quick, rounds=rounds, against=against)
    run_async(measure(options))


def run() -> None:
    """Measure; what was to be expected leaves as one line on standard error, and status 1."""
    try:
        app(prog_name="paygate bench")
    except (BenchError, EmbeddedPostgresError, StorageError, OSError) as error:
        sys.stderr.write(f"paygate: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    run()
