"""Payouts: the balance on its way to the merchant's bank."""
