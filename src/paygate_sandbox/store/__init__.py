"""The simulator's disk: one SQLite file. It knows rows and bytes, never Stripe's rules."""
