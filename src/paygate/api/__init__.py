"""The HTTP edge: routes, shapes on the wire, statuses. It decides nothing about money."""
