"""Tools of others that attack the gateway or list what it is made of; never installed with it."""
