"""The merchant's balance at the provider: what moves it, and what it comes to."""
