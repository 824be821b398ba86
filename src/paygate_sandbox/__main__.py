"""`python -m paygate_sandbox`: the command alone."""

import sys

if not sys.flags.safe_path:
    # Without -P the working directory comes first: whatever lies there would be imported.
    del sys.path[0]

import typer

from paygate_sandbox.command import sandbox

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(sandbox)
app(prog_name="python -m paygate_sandbox")
