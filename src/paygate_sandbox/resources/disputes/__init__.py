"""Disputes: money that a payer's bank asks back, the evidence against it, and early warnings."""
