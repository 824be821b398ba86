"""Payments on the wire: the endpoints of payment intents, and a payer's way back."""
