"""Disputes: captured money that the payer's bank asks back, and what is said against it."""
