"""Customers: found or made with a payment intent, and made known to the provider."""
