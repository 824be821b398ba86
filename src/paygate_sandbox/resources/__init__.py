"""Stripe's objects: what each call does to them. They know no HTTP and no SQL."""
