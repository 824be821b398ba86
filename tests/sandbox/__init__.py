"""The provider simulator, over real HTTP, every answer judged by Stripe's own description."""
