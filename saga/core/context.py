"""What a handler may know about the event it was given, besides its data."""

from dataclasses import dataclass, field

from saga.core.envelope import Envelope
from saga.core.event import Event


@dataclass(frozen=True, slots=True)
class Context:
    """The second parameter of a handler that wants one.

    Attributes
    ----------
    envelope : id, type, source, saga, cause and time of the event.
    topic, partition, offset : where the event stands.
    handler : service.function.
    attempt : counted from 1; a restart of the service counts from 1 again.
    """

    envelope: Envelope
    topic: str
    partition: int
    offset: int
    handler: str
    attempt: int
    published: list[Event] = field(default_factory=list)

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
