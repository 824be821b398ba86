"""Pages that the provider itself shows to the customer's browser."""
