"""Months of books from a seed, without a server: to try a reconciliation on, and to measure one."""
