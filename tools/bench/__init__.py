"""`paygate bench`: what this machine does, beside what its database can do and what another
revision does.

Ratios are taken in one run, in turn, because machines are noisy; every figure is min / median / max
of its rounds. Durability is never loosened for a number.
"""


class BenchError(Exception):
    """There is nothing to measure; the message says why."""
