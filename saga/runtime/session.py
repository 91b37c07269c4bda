"""One connection of a service to Kafka: poll → dispatch → collect → commit, until something breaks."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence

from msgspec import json

from saga.core.access import transactional_ids
from saga.core.delivery import read_delivery
from saga.core.memory import Memory
from saga.core.outcome import Outcome, Output
from saga.core.parking import Parking, Place
from saga.core.receipt import RECEIPTS_TOPIC, Receipt, Receipts
from saga.core.service import Service
from saga.runtime.dispatch import Dispatch
from saga.runtime.fencing import MembershipLost
from saga.runtime.guarantee import AtLeastOnce, ExactlyOnce, Guarantee
from saga.runtime.intake import Intake
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    KafkaError,
    TopicPartition,
    connection,
    started,
)
from saga.runtime.lanes import Lanes
from saga.runtime.parking import ParkingFeed
from saga.runtime.settings import ServiceSettings
from saga.runtime.telemetry import Telemetry

logger = logging.getLogger(__name__)

_POLL_MS = 500
_PARKED_POLL_MS = 50  # while sagas are paused: what goes on is not waited for by the poll
_METADATA_MS = 15_000  # new partitions are read after so long at the latest
_RECEIPTS_MAX = 500
_RECEIPTS_HEADERS = [("content-type", b"application/json")]


class Session:
    """Runs a service until `stop`, or until an error that only a new session can mend.

    Three things run at once: the poll, which gives records to the lanes; the lanes, which run
    handlers in order per key; and the commit, one at a time, of whatever is finished by then. A
    slow handler so holds up its own key and nothing else.
    """

    def __init__(
        self,
        service: Service,
        settings: ServiceSettings,
        instance: str,
        topics: Sequence[str],
        memory: Memory,
        telemetry: Telemetry,
    ) -> None:
        self._service = service
        self._settings = settings
        self._instance = instance
        self._topics = topics
        self._memory = memory
        self._telemetry = telemetry
        self._consumer = AIOKafkaConsumer(
            **connection(settings),
            client_id=f"{service.name}-{instance}",
            group_id=service.name,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=min(3_000, settings.session_timeout_ms // 4),
            # The poll waits for room, not for handlers that hang: `timeout=` of a handler does that.
            max_poll_interval_ms=24 * 3_600_000,
            max_partition_fetch_bytes=1_048_576,
            metadata_max_age_ms=_METADATA_MS,
        )
        self._parking: Parking[int] = Parking()
        self._feed = ParkingFeed(settings, service.name, self._parking)
        self._intake = Intake(self._consumer, service.name, self._revoked, self._restored)
        self._guarantee: Guarantee = (
            ExactlyOnce(settings, f"{transactional_ids(service)}{instance}")
            if service.guarantee == "exactly-once"
            else AtLeastOnce(settings, self._consumer)
        )
        self._dispatch = Dispatch(
            service,
            memory,
            telemetry,
            self._parking,
            event_bytes_max=settings.event_bytes_max,
            finished=self._finished,
            reported=self._reported,
        )
        self._lanes = self._new_lanes()
        self._outcomes: list[Outcome] = []
        self._receipts: list[Receipt] = []
        self._in_flight = 0
        self._news = asyncio.Event()  # something is finished or reported
        self._room = asyncio.Event()  # fewer records are in flight than allowed
        self._commit_lock = asyncio.Lock()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Run until stopped.

        Raises
        ------
        KafkaError, MembershipLost
            Only a new session can go on; nothing is lost or doubled by that.
        """
        async with self._connected():
            poll = asyncio.create_task(self._poll())
            others = [
                asyncio.create_task(self._commit_finished()),
                asyncio.create_task(self._flush_at_intervals()),
                asyncio.create_task(self._feed.run()),
                asyncio.create_task(self._intake.watch()),
            ]
            try:
                await asyncio.wait([poll, *others, self._end], return_when=asyncio.FIRST_COMPLETED)
                for task in (poll, *others, self._end):
                    if task.done():
                        task.result()
                poll.cancel()
                await self._settle(self._settings.stop_grace_ms)
            finally:
                for task in (poll, *others):
                    task.cancel()
                await asyncio.gather(poll, *others, return_exceptions=True)
                await self._drop()

    def stop(self) -> None:
        """Let running handlers end, commit, and return from `run`."""
        if not self._end.done():
            self._end.set_result(None)

    def _broken(self, error: BaseException) -> None:
        if not self._end.done():
            self._end.set_exception(error)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        try:
            await self._guarantee.start()
            await started(self._consumer)
            self._consumer.subscribe(self._topics, listener=self._intake)
            yield
        finally:
            await self._consumer.stop()
            await self._guarantee.stop()

    async def _poll(self) -> None:
        settings = self._settings
        while True:
            room = settings.in_flight_records - self._in_flight
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            began = time.perf_counter()
            most = min(room, settings.batch_records)
            active = self._parking.active
            records = await self._intake.poll(_PARKED_POLL_MS if active else _POLL_MS, most)
            if records:
                self._telemetry.polled(records, time.perf_counter() - began)
                self._give(records)
                # Handlers that do not wait run now; polling on would only delay their commit.
                await asyncio.sleep(0)
            if self._parking.active and len(records) < most:
                self._give_parked(await self._parked(most - len(records)))

    def _give(self, records: Sequence[ConsumerRecord]) -> None:
        self._in_flight += len(records)
        add = self._lanes.add
        for record in records:
            key = record.key
            place = record.offset if key is None else key
            add((record.topic, record.partition, place), record)
        self._lanes.start()

    async def _parked(self, most: int) -> Sequence[ConsumerRecord]:
        """Parked events whose turn it is, unless a rebalance has made them somebody else's meanwhile."""
        offsets = self._parking.take(self._owned, most)
        if not offsets:
            return ()
        epoch = self._intake.epoch
        records = await self._feed.read(offsets)
        if self._intake.epoch != epoch:
            return ()
        if len(records) < len(offsets):  # handled without these, the others might overtake them
            raise KafkaError(f"{len(offsets) - len(records)} parked events are not where they were parked")
        return records

    def _give_parked(self, records: Sequence[ConsumerRecord]) -> None:
        """The same for events that were parked: each in the lane of those that it was published with."""
        self._in_flight += len(records)
        for record in records:
            delivery = read_delivery(record.headers, record.topic, record.partition, record.offset)
            place = delivery.offset if record.key is None else record.key
            self._lanes.add((delivery.topic, delivery.partition, place), record)
        self._lanes.start()

    def _owned(self, place: Place) -> bool:
        return self._intake.owns(*place)

    def _finished(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        # A record that leaves nothing behind, such as an event on a shared topic that is not for us, is
        # not worth a transaction of its own: its offset goes with the next one, or at an interval.
        if outcome.outputs or outcome.receipts or self._in_flight >= self._settings.in_flight_records // 2:
            self._news.set()

    def _reported(self, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        self._news.set()

    async def _commit_finished(self) -> None:
        linger = self._settings.linger_ms / 1000
        while True:
            await self._news.wait()
            if not self._lanes.idle() and linger:
                await self._lanes.wait_idle(linger)
            async with self._commit_lock:
                await self._commit()

    async def _flush_at_intervals(self) -> None:
        while True:
            await asyncio.sleep(self._settings.offsets_interval_ms / 1000)
            async with self._commit_lock:
                await self._commit()
                await self._guarantee.flush()

    async def _commit(self) -> None:
        """The micro-batch. When the write fails the session ends, and the next one reads it all again."""
        self._news.clear()
        if not self._outcomes and not self._receipts:
            return
        try:
            member = self._intake.member
        except MembershipLost:
            return  # the rebalance that is coming drops it all
        outcomes, self._outcomes = self._outcomes, []
        receipts, self._receipts = self._receipts, []
        outputs: list[Output] = []
        for outcome in outcomes:
            if outcome.origin is None:
                self._intake.finish(TopicPartition(outcome.topic, outcome.partition), outcome.offset)
            else:
                self._intake.touch(*outcome.origin)
            outputs.extend(outcome.outputs)
            receipts.extend(outcome.receipts)
        outputs.extend(self._receipt_records(receipts))
        try:
            with self._telemetry.commit(outputs, outcomes):
                await self._guarantee.write(outputs, self._intake.offsets(), member)
        except BaseException:
            self._forget(outcomes)
            raise
        self._in_flight -= len(outcomes)
        self._room.set()

    def _receipt_records(self, receipts: Sequence[Receipt]) -> list[Output]:
        return [
            Output(
                RECEIPTS_TOPIC,
                None,
                json.encode(
                    Receipts(self._service.name, self._instance, list(receipts[at : at + _RECEIPTS_MAX]))
                ),
                _RECEIPTS_HEADERS,
            )
            for at in range(0, len(receipts), _RECEIPTS_MAX)
        ]

    async def _revoked(self) -> None:
        """Partitions are about to be given up: commit what is done, drop what is not."""
        try:
            await self._settle(self._settings.revoke_grace_ms)
        except MembershipLost as error:
            logger.warning("%s: dropped at a rebalance, to be read again: %s", self._service.name, error)
        except KafkaError as error:
            self._broken(error)  # who knows what became of the transaction: the next session ends it
        finally:
            await self._drop()
            self._lanes = self._new_lanes()

    async def _restored(self) -> None:
        """What others did with our partitions is committed or void: take it in before anything is handled."""
        await self._feed.caught_up()
        self._parking.begin()

    async def _settle(self, grace_ms: int) -> None:
        await self._lanes.drain(grace_ms / 1000)
        async with self._commit_lock:
            await self._commit()
            await self._guarantee.flush()

    async def _drop(self) -> None:
        await self._lanes.cancel()
        self._forget(self._outcomes)
        self._outcomes.clear()
        self._receipts.clear()
        self._in_flight = 0
        self._room.set()

    def _forget(self, outcomes: Sequence[Outcome]) -> None:
        """What was not committed will come again, and must be handled then."""
        for outcome in outcomes:
            if outcome.memory_key is not None:
                self._memory.discard(outcome.memory_key)

    def _new_lanes(self) -> Lanes[ConsumerRecord]:
        return Lanes(self._dispatch.handle, self._service.concurrency, self._broken)
