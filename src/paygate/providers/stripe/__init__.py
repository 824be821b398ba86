"""Stripe behind the port. The wire is `client`, over `transport`; `adapter` is the port; the rest
is pure.

No type, id format or exception of Stripe's leaves this folder.
"""
