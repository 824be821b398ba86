"""`python -m paygate.cli`: how a parent starts its children."""

from paygate.cli.main import run

run()
