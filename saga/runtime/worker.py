"""A service at work: waits for Kafka, makes its topics, announces itself, runs session after session."""

import asyncio
import logging
import secrets
import signal
from collections.abc import Sequence
from typing import NoReturn

from saga.core.access import Right, published_topics, read_topics, service_rights
from saga.core.delivery import dead_letter_topic
from saga.core.errors import AccessRefused, DeclarationError, SagaError
from saga.core.memory import Memory
from saga.core.pause import COMPACTED, parked_topic
from saga.core.receipt import RECEIPTS_TOPIC
from saga.core.service import Service
from saga.runtime.access import check_access, explain
from saga.runtime.announcement import announce
from saga.runtime.garbage import calm_garbage_collector
from saga.runtime.kafka import (
    PAUSED,
    SERVICES,
    KafkaError,
    Topic,
    ensure_topics,
    may_pass,
    producing,
    until_available,
)
from saga.runtime.session import Session
from saga.runtime.settings import ServiceSettings
from saga.runtime.telemetry import Telemetry
from saga.runtime.tracing import configured_telemetry

logger = logging.getLogger(__name__)

GARBAGE_OBJECTS = 20_000

_BACKOFF_FIRST_SECONDS = 0.2
_BACKOFF_MAX_SECONDS = 10.0
_GOOD_SESSION_SECONDS = 30.0
_RIGHTS_SECONDS = 10.0
"""So often Kafka is asked whether we still have our rights, where it knows who we are."""
_LARGER = {"max.message.bytes": "2097152"}  # an event, and why it is here


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
        AccessRefused
            It does not let us in any more, or we lack a right: at the start, or later.
        """
        work = asyncio.create_task(self._work())
        stopping = asyncio.create_task(self._stopping.wait())
        refused = asyncio.create_task(self._refused())
        try:
            await asyncio.wait([work, stopping, refused], return_when=asyncio.FIRST_COMPLETED)
            if self._session is None or refused.done():
                work.cancel()  # nothing has begun yet, or nothing more can be done: no end in order
            if refused.done():
                await refused
            await work
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
        finally:
            for task in (work, stopping, refused):
                task.cancel()
            await asyncio.gather(work, stopping, refused, return_exceptions=True)
        logger.info("%s has stopped", self._service.name)

    def stop(self) -> None:
        """End orderly: what is handled is committed, what is running gets its grace."""
        self._stopping.set()
        if self._session is not None:
            self._session.stop()

    async def _refused(self) -> NoReturn:
        """Ends with the right that we lack, once we lack one: a consumer would try for ever."""
        rights = service_rights(self._service)
        while True:
            await asyncio.sleep(_RIGHTS_SECONDS)
            try:
                await check_access(self._settings, rights)
            except AccessRefused:
                raise
            except Exception as error:
                # A broker that dies is no refusal, in whatever words; those who work tell of it.
                logger.debug("%s: its rights are not known: %r", self._service.name, error)

    async def _work(self) -> None:
        rights = service_rights(self._service)
        await self._begin(rights)
        logger.info("%s is running, instance %s", self._service.name, self._instance)
        loop = asyncio.get_running_loop()
        delay = _BACKOFF_FIRST_SECONDS
        while not self._stopping.is_set():
            began = loop.time()
            try:
                await self._run_session()
            except Exception as error:
                await explain(self._settings, error, rights)
                # Fenced, broker gone, partitions lost: the transaction is void, a new session begins
                # where the last one committed.
                if loop.time() - began > _GOOD_SESSION_SECONDS:
                    delay = _BACKOFF_FIRST_SECONDS
                logger.warning("%s: new session in %.1f s: %r", self._service.name, delay, error)
                if not isinstance(error, (KafkaError, SagaError, OSError)):
                    logger.exception("%s: nobody expects this error, please report it", self._service.name)
                await self._pause(delay)
                delay = min(delay * 2, _BACKOFF_MAX_SECONDS)

    async def _begin(self, rights: Sequence[Right]) -> None:
        """Make our topics and say what we handle, through the loss of Kafka meanwhile."""
        delay = _BACKOFF_FIRST_SECONDS
        while True:
            await until_available(self._settings)
            try:
                await check_access(self._settings, rights)
                await ensure_topics(self._settings, self._topics())
                await self._announce()
            except (KafkaError, AccessRefused, OSError) as error:
                await explain(self._settings, error, rights)
                if not may_pass(error):
                    raise
                logger.warning("%s: begins again in %.1f s: %r", self._service.name, delay, error)
                await self._pause(delay)
                delay = min(delay * 2, _BACKOFF_MAX_SECONDS)
            else:
                return

    async def _run_session(self) -> None:
        self._session = Session(
            self._service,
            self._settings,
            self._instance,
            read_topics(self._service),
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

    def _topics(self) -> list[Topic]:
        return [
            *map(Topic, read_topics(self._service)),
            *map(Topic, published_topics(self._service)),
            Topic(dead_letter_topic(self._service.name), config=_LARGER),
            PAUSED,
            Topic(parked_topic(self._service.name), 1, {**COMPACTED, **_LARGER}),
            Topic(RECEIPTS_TOPIC),
            SERVICES,
        ]

    async def _announce(self) -> None:
        async with producing(self._settings) as producer:
            await announce(self._service, producer)


async def run_service(
    service: Service, settings: ServiceSettings | None = None, telemetry: Telemetry | None = None
) -> None:
    """Run a service until SIGTERM or SIGINT. Settings come from the environment unless given.

    Takes the process for its own: signal handlers, and a garbage collector that runs less often.
    """
    calm_garbage_collector(GARBAGE_OBJECTS)
    worker = Worker(service, settings or ServiceSettings(), telemetry)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
