"""The tester's side door under /_sandbox/: the ledger, faults, the clock. No part of Stripe."""
