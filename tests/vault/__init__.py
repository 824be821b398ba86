"""A server of Vault's API, and one that says what a test lays down."""
