"""`paygate bench`: what this machine does, each figure beside the limit that the database sets.

Ratios are taken in one run, in turn with pgbench, because machines are noisy; every figure is
min / median / max of its repeats. Durability is never loosened for a number.
"""
