"""Stripe behind the port. The wire is `client`; `adapter` is the port; the rest is pure.

No type, id format or exception of Stripe or its SDK leaves this folder.
"""
