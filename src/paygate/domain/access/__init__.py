"""Who may do what, and under which name."""
