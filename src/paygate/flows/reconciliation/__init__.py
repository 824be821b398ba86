"""Hold our payments against the provider's, in both directions, and report what was found."""
