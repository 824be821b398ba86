"""Payments that nobody waits for: resolved, closed, expired and watched, by the clock or a job."""
