"""One request, one answer: an idempotency key from its claim to its purge."""
