"""What a service tells about its work with Kafka, and the silence of one without an SDK."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from saga.core.envelope import Envelope
from saga.core.outcome import Output
from saga.runtime.kafka import ConsumerRecord


class Telemetry(Protocol):
    """The moments of a service's loop that are worth a span or a number."""

    def polled(self, records: Sequence[ConsumerRecord], seconds: float) -> None:
        """A poll took these records and lasted so long."""

    def process(
        self, record: ConsumerRecord, envelope: Envelope, handler: str, attempt: int
    ) -> AbstractContextManager[str | None]:
        """Around one run of a handler (service.function).

        Gives the `traceparent` for the events it produces. An exception that passes is the run's error.
        """

    def commit(self, outputs: Sequence[Output], records: int) -> AbstractContextManager[None]:
        """Around the sending of a micro-batch's outputs and the commit of so many handled records."""


class Silence:
    """No SDK: nothing is measured, and trace contexts travel on unchanged."""

    _nothing = nullcontext()

    def polled(self, records: Sequence[ConsumerRecord], seconds: float) -> None:
        return

    def process(
        self, record: ConsumerRecord, envelope: Envelope, handler: str, attempt: int
    ) -> AbstractContextManager[str | None]:
        return nullcontext(envelope.traceparent)

    def commit(self, outputs: Sequence[Output], records: int) -> AbstractContextManager[None]:
        return self._nothing
