"""Who is subscribed to what, from what the services announce of themselves."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from saga.core.receipt import ServiceAnnouncement


class Subscriber(Struct, frozen=True, order=True, gc=False):
    """A service and the name of its handler for one event type."""

    service: str
    handler: str


class DeclaredHandler(Struct, frozen=True, gc=False):
    """What a service declares of its handling of one event type, all versions of it together.

    Attributes
    ----------
    handlers : names of the functions, sorted.
    publishes : the types that may come of it, sorted.
    once : those of which one comes at most, each time.
    always : whether something comes each time.
    """

    service: str
    handlers: tuple[str, ...]
    publishes: tuple[str, ...]
    once: frozenset[str]
    always: bool


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
        self._declared: dict[str, list[DeclaredHandler]] = {}
        for name in sorted(latest):
            for event_type, handler in _declared(latest[name]):
                self._declared.setdefault(event_type, []).append(handler)
        publications = [part for announcement in latest.values() for part in announcement.publishes]
        self.published = frozenset(part.type for part in publications)
        """The event types that some service publishes."""
        self.unprompted = frozenset(part.type for part in publications if not part.handler)
        """Those that one publishes outside of its handlers."""
        self.services = frozenset(latest)
        """Names of the services that have announced themselves."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subscriptions) and self.told == other.told

    __hash__ = None  # type: ignore[assignment]  # equal by what may change: no key for a dict

    @property
    def told(self) -> tuple[object, ...]:
        """All that tells these from others."""
        return self._by_type, self._topics, self._declared, self.unprompted

    def of(self, event_type: str) -> tuple[Subscriber, ...]:
        """Who handles events of this type, sorted; empty when nobody is subscribed."""
        return self._by_type.get(event_type, ())

    def declared(self, event_type: str) -> Sequence[DeclaredHandler]:
        """What each subscribed service does with events of this type, by name."""
        return self._declared.get(event_type, ())

    def topic_of(self, event_type: str) -> str:
        """The topic of events of this type; "" when no service has announced any."""
        return self._topics.get(event_type, "")


def _declared(announcement: ServiceAnnouncement) -> Iterator[tuple[str, DeclaredHandler]]:
    """By event type what the service does with it."""
    published = announcement.publishes
    for event_type in sorted({part.type for part in announcement.subscribes}):
        parts = [part for part in announcement.subscribes if part.type == event_type]
        names = {part.handler for part in parts}
        types = {part.type for part in published if part.handler in names}
        several = {part.type for part in published if part.handler in names and not part.once}
        always = all(part.always for part in parts)
        yield (
            event_type,
            DeclaredHandler(
                announcement.service,
                tuple(sorted(names)),
                tuple(sorted(types)),
                frozenset(types - several),
                always,
            ),
        )
