"""A payment: the intent, its attempts, and what an answer makes of both."""
