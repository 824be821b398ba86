"""Reconciliation: our payments held against the provider's, in both directions."""
