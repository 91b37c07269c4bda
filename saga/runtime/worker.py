"""A service at work: waits for Kafka, makes its topics, announces itself, runs session after session."""

import asyncio
import gc
import logging
import secrets
import signal

from msgspec import json

from saga.core.delivery import dead_letter_topic, retry_topic
from saga.core.errors import DeclarationError, SagaError
from saga.core.memory import Memory
from saga.core.receipt import RECEIPTS_TOPIC, SERVICES_TOPIC
from saga.core.service import Service
from saga.runtime.kafka import (
    AIOKafkaProducer,
    KafkaError,
    Topic,
    ensure_topics,
    until_available,
)
from saga.runtime.session import Session
from saga.runtime.settings import ServiceSettings
from saga.runtime.telemetry import Telemetry
from saga.runtime.tracing import configured_telemetry

logger = logging.getLogger(__name__)

_BACKOFF_FIRST_SECONDS = 0.2
_BACKOFF_MAX_SECONDS = 10.0
_GOOD_SESSION_SECONDS = 30.0
_COMPACTED = {"cleanup.policy": "compact"}
_DEAD_LETTERS = {"max.message.bytes": "2097152"}  # an event, and why it is here


class Worker:
    """Runs one service in this process.

    Raises
    ------
    DeclarationError
        The service has no handlers, or two event classes contradict each other.
    """

    def __init__(
        self, service: Service, settings: ServiceSettings, telemetry: Telemetry | None = None
    ) -> None:
        if not service.handlers:
            raise DeclarationError(f"service {service.name} has no handlers: import the module with its @on")
        service.known_types()
        self._service = service
        self._settings = settings
        self._instance = settings.instance or secrets.token_hex(4)
        self._telemetry = telemetry or configured_telemetry(service, self._instance, settings)
        self._memory = Memory(settings.remembered_events)
        self._session: Session | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run until `stop`, through rebalances and the loss of Kafka.

        Raises
        ------
        KafkaUnavailable
            Kafka did not answer in time at the start, or refuses a topic.
        """
        work = asyncio.create_task(self._work())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
            if self._session is None:
                work.cancel()  # nothing has begun yet: no session that would end in order
            await work
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
        finally:
            work.cancel()
            stopping.cancel()
        logger.info("%s has stopped", self._service.name)

    def stop(self) -> None:
        """End orderly: what is handled is committed, what is running gets its grace."""
        self._stopping.set()
        if self._session is not None:
            self._session.stop()

    async def _work(self) -> None:
        await until_available(self._settings)
        await ensure_topics(self._settings, self._topics())
        await self._announce()
        logger.info("%s is running, instance %s", self._service.name, self._instance)
        loop = asyncio.get_running_loop()
        delay = _BACKOFF_FIRST_SECONDS
        while not self._stopping.is_set():
            began = loop.time()
            try:
                await self._run_session()
            except (KafkaError, SagaError, OSError) as error:
                # Fenced, broker gone, partitions lost: the transaction is void, a new session begins
                # where the last one committed.
                if loop.time() - began > _GOOD_SESSION_SECONDS:
                    delay = _BACKOFF_FIRST_SECONDS
                logger.warning("%s: new session in %.1f s: %r", self._service.name, delay, error)
                await self._pause(delay)
                delay = min(delay * 2, _BACKOFF_MAX_SECONDS)

    async def _run_session(self) -> None:
        self._session = Session(
            self._service,
            self._settings,
            self._instance,
            [topic.name for topic in self._consumed()],
            self._memory,
            self._telemetry,
        )
        await self._session.run()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _consumed(self) -> list[Topic]:
        tiers = {tier for handler in self._service.handlers.values() for tier in handler.retry.tiers_ms}
        return [
            *map(Topic, sorted(self._service.topics)),
            *(Topic(retry_topic(self._service.name, tier)) for tier in sorted(tiers)),
        ]

    def _topics(self) -> list[Topic]:
        published = {
            model.declared.topic for handler in self._service.handlers.values() for model in handler.publishes
        }
        return [
            *self._consumed(),
            *map(Topic, sorted(published | {model.declared.topic for model in self._service.publishes})),
            Topic(dead_letter_topic(self._service.name), config=_DEAD_LETTERS),
            Topic(RECEIPTS_TOPIC),
            Topic(SERVICES_TOPIC, partitions=1, config=_COMPACTED),
        ]

    async def _announce(self) -> None:
        announcement = self._service.announcement()
        async with AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap_servers, enable_idempotence=True
        ) as producer:
            await producer.send_and_wait(
                SERVICES_TOPIC, key=announcement.service.encode(), value=json.encode(announcement)
            )


def own_garbage_collector() -> None:
    """Collect garbage by the rhythm of micro-batches instead of every 700 objects.

    A batch of a thousand records keeps some ten thousand objects alive and leaves no cycles; searching
    them for some at every step takes a seventh of a service's time.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


async def run_service(
    service: Service, settings: ServiceSettings | None = None, telemetry: Telemetry | None = None
) -> None:
    """Run a service until SIGTERM or SIGINT. Settings come from the environment unless given.

    Takes the process for its own: signal handlers, and a garbage collector that runs less often.
    """
    own_garbage_collector()
    worker = Worker(service, settings or ServiceSettings(), telemetry)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
