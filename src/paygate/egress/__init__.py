"""The one way out to addresses that somebody configured: checked, bounded, and told nothing."""
