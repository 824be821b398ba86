"""What merchants read of what happened to them."""
