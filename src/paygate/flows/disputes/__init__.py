"""Disputes: what the payer's bank asks back, as the provider tells of it."""
