"""The ledger, read whole and held against the provider's own list."""
