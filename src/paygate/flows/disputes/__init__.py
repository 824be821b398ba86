"""Disputes: heard of, put evidence together for, answered or accepted, and looked after."""
