"""Refunds: asked for, approved, sent, concluded; found at the provider, and looked after."""
