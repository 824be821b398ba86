"""The sandbox's disk: one SQLite file. It knows rows and bytes, never Stripe's rules."""
