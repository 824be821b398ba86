"""The way of every request, whatever it asks for: limits, keys, bodies, errors, refusals."""
