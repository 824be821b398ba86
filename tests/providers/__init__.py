"""The provider adapters: their pure parts by tables, their wire against servers that misbehave."""
