"""The keys that records are sealed under: looked at, rotated, given up, and wrapped anew."""
