"""Payment providers, each in a folder of its own behind the one port in `contract`."""
