"""Exports: records as tables for an accountant's program, decrypted."""
