"""The provider itself: its clock, its account, and how fast it may be asked."""
