"""Who is subscribed to what, from what the services announce of themselves."""

from collections.abc import Iterable

from msgspec import Struct

from saga.core.receipt import ServiceAnnouncement


class Subscriber(Struct, frozen=True, order=True, gc=False):
    """A service and the name of its handler for one event type."""

    service: str
    handler: str


class Subscriptions:
    """The subscribers of each event type. Of several announcements of a service the last one counts."""

    def __init__(self, announcements: Iterable[ServiceAnnouncement] = ()) -> None:
        latest = {announcement.service: announcement for announcement in announcements}
        found: dict[str, set[Subscriber]] = {}
        for announcement in latest.values():
            for subscription in announcement.subscribes:
                subscriber = Subscriber(announcement.service, subscription.handler)
                found.setdefault(subscription.type, set()).add(subscriber)
        self._by_type = {name: tuple(sorted(subscribers)) for name, subscribers in found.items()}
        self._topics: dict[str, str] = {}
        for name in sorted(latest):
            for published in latest[name].publishes:
                self._topics[published.type] = published.topic
            for subscribed in latest[name].subscribes:
                self._topics[subscribed.type] = subscribed.topic
        self.services = frozenset(latest)
        """Names of the services that have announced themselves."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Subscriptions)
            and self._by_type == other._by_type
            and self._topics == other._topics
        )

    __hash__ = None  # type: ignore[assignment]  # equal by what may change: no key for a dict

    def of(self, event_type: str) -> tuple[Subscriber, ...]:
        """Who handles events of this type, sorted; empty when nobody is subscribed."""
        return self._by_type.get(event_type, ())

    def topic_of(self, event_type: str) -> str:
        """The topic of events of this type; "" when no service has announced any."""
        return self._topics.get(event_type, "")
