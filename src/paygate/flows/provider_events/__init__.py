"""Provider events: received, then applied once."""
