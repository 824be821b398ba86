"""What merchants are told: what is read of it, and the outbox that it leaves by."""
