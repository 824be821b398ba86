"""Who may come in: API keys, client secrets and the merchants that they stand under."""
