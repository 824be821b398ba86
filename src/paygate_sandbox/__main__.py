"""`python -m paygate_sandbox`: the command alone."""

import sys

if not sys.flags.safe_path:
    # Without -P the working directory comes first: whatever lies there would be imported.
    del sys.path[0]

from paygate_sandbox.command import app

app(prog_name="python -m paygate_sandbox")
