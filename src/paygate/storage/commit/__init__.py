"""The commit door: changes that arrive together are written in one statement."""
