"""Refunds: captured money on its way back to the payer."""
