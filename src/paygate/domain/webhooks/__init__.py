"""What merchants are told of by webhooks: endpoints, deliveries, and how fast they are sent."""
