"""`paygate bench`: the benchmark that lies beside this code in a checkout; none is installed."""

import runpy
import sys
from pathlib import Path
from typing import Final

import paygate

CHECKOUT: Final = Path(paygate.__file__).parents[2]
"""Of this code, when it is no installed copy."""


def run_bench(arguments: list[str]) -> None:
    """Run the checkout's `tools/bench` in this process, as `python -m tools.bench` there does.

    Raises:
        SystemExit: at its end; with one line when this is no checkout.
    """
    if not (CHECKOUT / "tools" / "bench").is_dir():
        sys.exit("paygate: the benchmark is run from a checkout, and this is an installed copy")
    sys.path.insert(0, str(CHECKOUT))
    sys.argv[1:] = arguments
    runpy.run_module("tools.bench", run_name="__main__")
