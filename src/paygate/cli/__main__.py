"""`python -m paygate.cli`: how a parent starts its children."""

import sys

if not sys.flags.safe_path:
    # Without -P the working directory comes first: whatever lies there would be imported.
    del sys.path[0]

from paygate.cli.main import run

run()
