"""One payment, told from all that is stored of it."""
