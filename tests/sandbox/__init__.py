"""The sandbox, over real HTTP, every answer judged by Stripe's own description."""
