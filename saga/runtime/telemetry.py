"""What a service tells about its work with Kafka, and the silence of one without an SDK."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from saga.core.envelope import Envelope
from saga.core.outcome import Outcome, Output
from saga.runtime.kafka import ConsumerRecord


class PublishingTelemetry(Protocol):
    """The moments of publishing that are worth a span or a number."""

    def create(self, envelope: Envelope, topic: str, key: str) -> Envelope:
        """The envelope as it is to be published: with the trace context that consumers refer to.

        The one given carries the context of the event's cause, if any.
        """

    def send(self, outputs: Sequence[Output]) -> AbstractContextManager[None]:
        """Around the sending of these. An exception that passes is their error."""


class Telemetry(PublishingTelemetry, Protocol):
    """The moments of a service's loop that are worth a span or a number."""

    def polled(self, records: Sequence[ConsumerRecord], seconds: float) -> None:
        """A poll took these records and lasted so long."""

    def process(
        self, record: ConsumerRecord, envelope: Envelope, handler: str, attempt: int
    ) -> AbstractContextManager[None]:
        """Around one run of a handler (service.function) and the creation of what it publishes.

        An exception that passes is the run's error.
        """

    def commit(self, outputs: Sequence[Output], outcomes: Sequence[Outcome]) -> AbstractContextManager[None]:
        """Around the writing of a micro-batch: its outputs, and that these records are done."""


class Silence:
    """No SDK: nothing is measured, and trace contexts travel on unchanged."""

    _nothing = nullcontext()

    def create(self, envelope: Envelope, topic: str, key: str) -> Envelope:
        return envelope

    def send(self, outputs: Sequence[Output]) -> AbstractContextManager[None]:
        return self._nothing

    def polled(self, records: Sequence[ConsumerRecord], seconds: float) -> None:
        return

    def process(
        self, record: ConsumerRecord, envelope: Envelope, handler: str, attempt: int
    ) -> AbstractContextManager[None]:
        return self._nothing

    def commit(self, outputs: Sequence[Output], outcomes: Sequence[Outcome]) -> AbstractContextManager[None]:
        return self._nothing
