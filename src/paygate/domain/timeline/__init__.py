"""One payment, told: what is stored of it as entries that a person reads, in the order of time."""
