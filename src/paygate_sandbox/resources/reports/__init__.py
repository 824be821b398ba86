"""Reports: what the provider says in files instead of objects."""
