"""Payments: what a caller may do to one, a file for each verb.

What the verbs share stands in `attempt`; what goes on when nobody waits, in `sweeps`.
"""
