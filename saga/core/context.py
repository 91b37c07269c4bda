"""What a handler may know about the event it was given, besides its data."""

from dataclasses import dataclass, field

from saga.core.envelope import Envelope
from saga.core.event import Event
from saga.core.ids import derived_id


@dataclass(frozen=True, slots=True)
class Context:
    """The second parameter of a handler that wants one.

    Attributes
    ----------
    envelope : id, type, source, saga, cause and time of the event.
    topic, partition, offset : where the event stands.
    handler : service.function.
    attempt : counted from 1; a restart of the service counts from 1 again.
    begun : which of `published` begin a saga, and its id.
    """

    envelope: Envelope
    topic: str
    partition: int
    offset: int
    handler: str
    attempt: int
    published: list[Event] = field(default_factory=list)
    begun: dict[int, str] = field(default_factory=dict)

    @property
    def saga_id(self) -> str:
        """The business transaction that the event belongs to."""
        return self.envelope.saga

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this handler with this event: give it to whatever you call
        outside Kafka (a payment provider, an e-mail service), which is called at least once.
        """
        return f"{self.handler}:{self.envelope.id}"

    def publish(self, event: Event) -> None:
        """Publish an event besides those returned; before them, and only if the handler succeeds.

        Its type must be in the handler's return annotation or in `publishes=` of `Service.on`.
        """
        self.published.append(event)

    def begin(self, event: Event) -> str:
        """Publish an event, as `publish` does, that begins a saga of its own; the id of that saga.

        The same for every run of this handler with this event. The tracker shows the new saga and the
        one of this event as child and parent; neither waits for the other.
        """
        # The id that the event is going to have: those published here come before those returned.
        index = len(self.published)
        saga_id = derived_id(self.envelope.id, self.handler, index)
        self.begun[index] = saga_id
        self.published.append(event)
        return saga_id
