"""The keys that records are sealed under."""
