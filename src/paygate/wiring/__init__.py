"""Settings to the assembled parts. Nothing else builds the house."""
