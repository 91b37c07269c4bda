"""Publishing from outside a handler: where business transactions begin."""

import contextlib
import time
from collections.abc import Sequence
from types import TracebackType

from uuid_utils import uuid7

from saga.core.envelope import Envelope
from saga.core.event import Event
from saga.core.outcome import Output
from saga.core.service import Service
from saga.runtime.announcement import announce
from saga.runtime.kafka import SERVICES, Topic, ensure_topics, producing, until_available
from saga.runtime.outbox import Outbox
from saga.runtime.settings import KafkaSettings
from saga.runtime.tracing import configured_publishing


class Publisher:
    """Publishes events of a service from a web handler, a script, a test.

        async with Publisher(orders) as publisher:
            saga_id = await publisher.publish(OrderPlaced(...))

    Connects on entry: waits for Kafka, makes missing topics, announces the service if it has no
    handlers of its own that a worker announces.

    Raises
    ------
    KafkaUnavailable
        No broker answers.
    """

    def __init__(self, service: Service, settings: KafkaSettings | None = None) -> None:
        self._service = service
        self._settings = settings or KafkaSettings()
        self._telemetry = configured_publishing(service, self._settings)

    async def __aenter__(self) -> "Publisher":
        await until_available(self._settings)
        topics = [Topic(model.declared.topic) for model in self._service.publishes]
        await ensure_topics(self._settings, [*topics, SERVICES])
        async with contextlib.AsyncExitStack() as open_till_exit:
            producer = await open_till_exit.enter_async_context(producing(self._settings))
            self._outbox = Outbox(producer)
            if not self._service.handlers:
                await announce(self._service, producer)
            self._open = open_till_exit.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def publish(self, event: Event, *, saga_id: str | None = None, cause: str | None = None) -> str:
        """Publish one event and return the id of its saga once Kafka has it.

        Parameters
        ----------
        saga_id : the saga that the event belongs to; None begins a new one under a UUIDv7.
        cause : id of the event that caused this one, if there is one.
        """
        [saga] = await self.publish_all([event], saga_id=saga_id, cause=cause)
        return saga

    async def publish_all(
        self, events: Sequence[Event], *, saga_id: str | None = None, cause: str | None = None
    ) -> list[str]:
        """Publish many events; without a `saga_id` each begins a saga of its own."""
        sagas = [saga_id or str(uuid7()) for _ in events]
        outputs = [self._output(event, saga, cause) for event, saga in zip(events, sagas, strict=True)]
        with self._telemetry.send(outputs):
            for written in await self._outbox.send(outputs):
                await written
        return sagas

    def _output(self, event: Event, saga: str, cause: str | None) -> Output:
        declared = event.declared
        envelope = Envelope(
            str(uuid7()),
            declared.name,
            self._service.name,
            saga,
            time.time_ns() // 1_000_000,
            cause,
            declared.version,
        )
        key = event.key() or saga
        traced = self._telemetry.create(envelope, declared.topic, key)
        return Output(declared.topic, key.encode(), event.write(), traced.headers())
