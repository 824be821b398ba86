"""Merchants, and when each API key was last used."""
