"""Settlement: what the provider pays out, line by line, against what we recorded."""
