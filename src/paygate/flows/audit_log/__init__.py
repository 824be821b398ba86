"""The audit log, read by those who may; written by every commit."""
