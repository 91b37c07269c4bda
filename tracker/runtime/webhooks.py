"""Webhooks: alerts and lifecycle events, told by HTTP to whoever wants to hear of them.

Each URL is a consumer group of its own. So a slow one falls behind alone, goes on where it was after a
restart, and what waits for it waits in Kafka. Events of one saga come in their order; those of others
pass one that is attempted again.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import aiohttp

from saga.core.delivery import Delivery, dead_letter, dead_letter_topic
from saga.core.errors import DeclarationError, NotAnEvent, SagaError
from saga.core.progress import Progress
from saga.core.redrive import read_redrive
from saga.runtime.access import check_access, explain
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    CommitFailedError,
    ConsumerRebalanceListener,
    ConsumerRecord,
    IllegalGenerationError,
    Topic,
    TopicPartition,
    UnknownMemberIdError,
    connection,
    ensure_topics,
    started,
    until_available,
)
from tracker.core.webhook import (
    Message,
    backoff_ms,
    message,
    place,
    read_secrets,
    read_urls,
    request_headers,
    retry_after_ms,
    verdict,
)
from tracker.runtime.access import WEBHOOK_GROUPS, webhook_rights
from tracker.runtime.log import configure_logging
from tracker.runtime.settings import WatchSettings, WebhookSettings
from tracker.runtime.supervision import Delays, stopped_by_signals, together, unless_stopped
from tracker.runtime.watch import Watch

logger = logging.getLogger(__name__)

_NAME = "webhooks"
_POLL_MS = 200
_PENDING_MAX = 500
_POSITION_SECONDS_MAX = 5.0
_STOP_SECONDS = 2.0
_USER_AGENT = "saga-webhooks"


class NotTaken(SagaError):
    """A receiver did not take an event. The message says what it answered."""


class Webhooks:
    """All URLs. Run anew when Kafka gives up on it."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._urls = read_urls(settings.webhook_urls)
        self._secrets = read_secrets(settings.webhook_secret.get_secret_value())
        self._topics = settings.webhook_topics.replace(",", " ").split()
        if not self._topics:
            raise DeclarationError("SAGA_WEBHOOK_TOPICS is empty: name saga.alerts, saga.lifecycle or both")

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop.

        Raises
        ------
        SagaError
            There is no Kafka at the start, or it refuses us something.
        """
        await unless_stopped(stop, until_available(self._settings))
        rights = webhook_rights(self._topics)
        await unless_stopped(stop, check_access(self._settings, rights))
        delays = Delays()
        while not stop.is_set():
            try:
                await self._run_once(stop)
            except Exception as error:
                await explain(self._settings, error, rights)
                delay = delays.next()
                logger.warning("the webhooks start again in %g s, because of %r", delay, error)
                logger.debug("it ended here", exc_info=True)
                await unless_stopped(stop, asyncio.sleep(delay))

    async def _run_once(self, stop: asyncio.Event) -> None:
        topics = [Topic(name) for name in (*self._topics, dead_letter_topic(_NAME))]
        await unless_stopped(stop, ensure_topics(self._settings, topics))
        async with contextlib.AsyncExitStack() as stack:
            producer = await stack.enter_async_context(
                AIOKafkaProducer(**connection(self._settings), acks="all", enable_idempotence=True)
            )
            session = await stack.enter_async_context(open_session(self._settings, len(self._urls)))
            hooks = [
                Hook(
                    self._settings,
                    self._topics,
                    Receiver(url, self._settings, self._secrets, session),
                    producer,
                )
                for url in self._urls
            ]
            # If all trackers are dead, who else is there to say so?
            await together(stop, 2 * _STOP_SECONDS, *hooks, Watch(self._settings, WatchSettings()))


@contextlib.asynccontextmanager
async def open_session(settings: WebhookSettings, urls: int) -> AsyncIterator[aiohttp.ClientSession]:
    """The HTTP client for so many URLs."""
    # Room for all: a receiver that is slow must not use up the connections of the others.
    connector = aiohttp.TCPConnector(limit=urls * settings.webhook_requests)
    timeout = aiohttp.ClientTimeout(total=settings.webhook_timeout_ms / 1000)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers={"user-agent": _USER_AGENT},
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield session


class Receiver:
    """One URL, and how events are told to it."""

    def __init__(
        self, url: str, settings: WebhookSettings, secrets: tuple[bytes, ...], session: aiohttp.ClientSession
    ) -> None:
        self.place = place(url)
        self.group = f"{WEBHOOK_GROUPS}{sha256(url.encode()).hexdigest()[:12]}"
        self._url = url
        self._settings = settings
        self._secrets = secrets
        self._session = session
        self._requests = asyncio.Semaphore(settings.webhook_requests)
        self._welcome_at = float("-inf")

    async def tell(self, told: Message) -> int:
        """Tell of an event, again and again if need be; the number of attempts that it took.

        Raises
        ------
        NotTaken
            The receiver refuses it, or all attempts are used up.
        """
        attempt = 0
        while True:
            attempt += 1
            answer = await self._attempt(told)
            if answer.taken:
                return attempt
            if answer.final or attempt >= self._settings.webhook_attempts:
                times = "attempt" if attempt == 1 else "attempts"
                raise NotTaken(f"{answer.words}, {attempt} {times}")
            logger.debug("%s: %s for %s, attempt %d", self.place, answer.words, told.id, attempt)
            if answer.wait_ms:
                # It does not want to hear of this event now, and so of no other either.
                asked_ms = min(answer.wait_ms, self._settings.webhook_retry_after_max_ms)
                self._welcome_at = max(self._welcome_at, time.monotonic() + asked_ms / 1000)
            delay_ms = backoff_ms(
                attempt,
                self._settings.webhook_retry_first_ms,
                self._settings.webhook_retry_max_ms,
                random.random(),
            )
            await asyncio.sleep(delay_ms / 1000)

    async def _attempt(self, told: Message) -> "_Answer":
        await self._until_welcome()
        async with self._requests:
            headers = request_headers(told, int(time.time()), self._secrets)
            try:
                async with self._session.post(
                    self._url, data=told.body, headers=headers, allow_redirects=False
                ) as response:
                    status, asked = response.status, response.headers.get("retry-after")
            except TimeoutError:
                return _Answer(f"no answer within {self._settings.webhook_timeout_ms} ms")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return _Answer(f"{type(error).__name__}: {error}")
        judged = verdict(status)
        wait_ms = retry_after_ms(asked, datetime.now(UTC)) if judged == "again" else 0
        return _Answer(f"HTTP {status}", judged == "delivered", judged == "never", wait_ms)

    async def _until_welcome(self) -> None:
        while True:
            wait_seconds = self._welcome_at - time.monotonic()
            if wait_seconds <= 0:
                return
            await asyncio.sleep(wait_seconds)


class _Answer(NamedTuple):
    words: str
    taken: bool = False
    final: bool = False
    wait_ms: int = 0


class Hook:
    """Brings what stands on the topics to one receiver."""

    def __init__(
        self, settings: WebhookSettings, topics: list[str], receiver: Receiver, producer: AIOKafkaProducer
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._receiver = receiver
        self._producer = producer
        self._progress: dict[TopicPartition, Progress] = {}
        self._tasks: dict[asyncio.Task[None], TopicPartition] = {}
        self._lanes: dict[bytes, asyncio.Task[None]] = {}
        self._fresh: set[TopicPartition] = set()
        self._failure: BaseException | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop.

        Raises
        ------
        KafkaError
            Kafka can't be read, or does not take a dead letter.
        """
        self._consumer = AIOKafkaConsumer(
            **connection(self._settings),
            group_id=self._receiver.group,
            enable_auto_commit=False,
            # Somebody who wants to hear from now on does not want to hear of last week.
            auto_offset_reset="latest",
        )
        await started(self._consumer)
        try:
            self._consumer.subscribe(self._topics, listener=_Listener(self))
            logger.info("telling %s of %s", self._receiver.place, ", ".join(self._topics))
            while not stop.is_set():
                await self._turn()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
            await self.commit()
        finally:
            left = list(self._tasks)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self._consumer.stop()

    async def _turn(self) -> None:
        if self._failure is not None:
            raise self._failure
        if len(self._tasks) >= _PENDING_MAX:
            self._consumer.pause(*self._consumer.assignment())
        elif paused := self._consumer.paused():
            self._consumer.resume(*paused)
        room = max(1, _PENDING_MAX - len(self._tasks))
        for partition, records in (
            await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=room)
        ).items():
            progress = self._progress.setdefault(partition, Progress(records[0].offset))
            for record in records:
                if progress.give(record.offset):
                    self._start(partition, record, progress)
        await self.commit()

    def _start(self, partition: TopicPartition, record: ConsumerRecord, progress: Progress) -> None:
        lane = record.key or b""
        before = self._lanes.get(lane)
        task = asyncio.create_task(self._bring(record, before))
        self._lanes[lane] = task
        self._tasks[task] = partition

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.pop(task, None)
            if self._lanes.get(lane) is task:
                del self._lanes[lane]
            if task.cancelled():
                return
            if (failure := task.exception()) is not None:
                self._failure = failure
            else:
                progress.finish(record.offset)

        task.add_done_callback(ended)

    async def _bring(self, record: ConsumerRecord, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        redrive = read_redrive(record.headers)
        if redrive is not None and (redrive.service, redrive.handler) != (_NAME, self._receiver.place):
            return  # it came back for another receiver, or for a service
        began_ms = _now_ms()
        try:
            told = message(record.headers, record.value)
            await self._receiver.tell(told)
        except NotAnEvent as error:
            logger.warning("%s-%d@%d: %s", record.topic, record.partition, record.offset, error)
        except NotTaken as error:
            await self._give_up(record, error, began_ms)

    async def _give_up(self, record: ConsumerRecord, error: NotTaken, began_ms: int) -> None:
        where = f"{record.topic}-{record.partition}@{record.offset}"
        topic = dead_letter_topic(_NAME)
        logger.error("%s gave up %s: %s. It is on %s", self._receiver.place, where, error, topic)
        delivery = Delivery(
            record.topic,
            record.partition,
            record.offset,
            self._settings.webhook_attempts,
            first_failed_ms=began_ms,
        )
        letter = dead_letter(
            _NAME,
            self._receiver.place,
            delivery,
            error,
            _now_ms(),
            (record.key, record.value, record.headers),
        )
        await self._producer.send_and_wait(letter.topic, letter.value, key=letter.key, headers=letter.headers)

    async def commit(self) -> None:
        """Commit what is finished, and where a new group begins."""
        offsets = {
            partition: progress.committable()[0]
            for partition, progress in self._progress.items()
            if progress.moved()
        }
        for partition in list(self._fresh):
            if partition not in self._progress:
                # Otherwise what comes before the first delivery would be lost to a restart.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POSITION_SECONDS_MAX):
                        offsets[partition] = await self._consumer.position(partition)
            self._fresh.discard(partition)
        if not offsets:
            return
        with contextlib.suppress(CommitFailedError, IllegalGenerationError, UnknownMemberIdError):
            # Others have the partitions now, and tell what was not committed again, under the same ids.
            await self._consumer.commit(offsets)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Leave these partitions to others, or to a later run."""
        left = set(partitions)
        for task, partition in list(self._tasks.items()):
            if partition in left:
                task.cancel()
        for partition in left:
            self._progress.pop(partition, None)
            self._fresh.discard(partition)

    def welcome(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are ours now."""
        self._fresh.update(partitions)


class _Listener(ConsumerRebalanceListener):
    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._hook.commit()
        self._hook.forget(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._hook.welcome(assigned)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def serve(settings: WebhookSettings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises
    ------
    SagaError
        The settings are not right, or there is no Kafka.
    """
    await Webhooks(settings).run(stopped_by_signals())


def main(settings: WebhookSettings, level: int = logging.INFO) -> int:
    """Run webhooks in a process of their own; its exit code."""
    configure_logging(level)
    try:
        asyncio.run(serve(settings))
    except SagaError as error:
        logger.critical("%s", error)
        return 1
    logger.info("stopped")
    return 0
