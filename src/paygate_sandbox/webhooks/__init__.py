"""Webhooks going out: who wants what, how it is signed, how it is delivered."""
