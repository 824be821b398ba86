"""Which endpoint wants which event, in memory, as of the last committed change.

It must never be the record of an endpoint: that is its object in the store.
"""

from dataclasses import dataclass

from paygate_sandbox.store.objects import Objects


@dataclass(frozen=True, slots=True)
class Subscription:
    endpoint: str
    url: str
    secret: str
    events: frozenset[str]

    def wants(self, event_type: str) -> bool:
        return "*" in self.events or event_type in self.events


class Subscriptions:
    def __init__(self, objects: Objects) -> None:
        self._wanting: dict[str, list[str]] = {}
        self.refresh(objects)

    def refresh(self, objects: Objects) -> None:
        enabled = (
            Subscription(
                endpoint=record.id,
                url=record.body["url"],
                secret=record.private["secret"],
                events=frozenset(record.body["enabled_events"]),
            )
            for batch in objects.all("webhook_endpoint")
            for record in batch
            if record.body["status"] == "enabled"
        )
        self._by_endpoint = {each.endpoint: each for each in enabled}
        self._wanting.clear()

    def wanting(self, event_type: str) -> list[str]:
        found = self._wanting.get(event_type)
        if found is None:
            found = [each.endpoint for each in self._by_endpoint.values() if each.wants(event_type)]
            self._wanting[event_type] = found
        return found

    def get(self, endpoint: str) -> Subscription | None:
        return self._by_endpoint.get(endpoint)
