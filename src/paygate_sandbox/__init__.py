"""A payment provider in a process of its own, speaking Stripe's wire protocol.

It keeps its own durable books and imports nothing of the gateway: whoever tests the gateway
reads the truth here. `command` starts it, `server` assembles it; `protocol` is the wire,
`resources` are Stripe's objects, `books` is one change of them and `engine` makes it stand;
`store` is the disk, `webhooks` are the deliveries, `control` is the tester's side door.
"""
