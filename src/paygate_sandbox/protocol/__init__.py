"""Stripe's wire: forms in, JSON out, errors, keys, lists. It knows no payment."""
