"""More partitions for `saga.steps` and the saga table, while no tracker runs.

A saga's partition follows from its id and their number, so more of them means that sagas move. The
order makes it safe to die anywhere, and to begin again:

1. All frames are folded, by a tracker of our own without a collector.
2. The changelog gets its partitions. From now on trackers refuse to start, since `saga.steps` has fewer.
3. Every row that belongs elsewhere is written there, and only then removed where it was.
4. The clock is written to the new partitions: behind the rows, as always.
5. `saga.steps` gets its partitions, and trackers may start.
"""

import asyncio
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from aiokafka.admin import NewPartitions

from saga.core.errors import DeclarationError
from saga.runtime.group import describe_groups
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
    admin,
    connection,
    partition_counts,
    reader,
    records_before,
)
from tracker.core.clock import CLOCK_ROW
from tracker.core.errors import NothingTracked
from tracker.core.frame import STEPS_TOPIC, saga_partition
from tracker.core.lag import COLLECTOR_GROUP, worst
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, TRACKER_GROUP
from tracker.runtime.announcements import Announcements
from tracker.runtime.effects import Effects
from tracker.runtime.figures import Figures
from tracker.runtime.flows import FlowRegistry
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.lag import Lags
from tracker.runtime.platform import KafkaPlatform
from tracker.runtime.restore import changelog_consumer
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.supervision import together
from tracker.runtime.topics import Cluster, cluster_id
from tracker.runtime.tracker import Tracker

logger = logging.getLogger(__name__)

_CLOCK = CLOCK_ROW.encode()
_LOOK_SECONDS = 0.2
_JOIN_SECONDS = 5.0
"""A tracker that has seen the old number of partitions is a member of its group by then."""
_READY_SECONDS = 30.0
_MOVED_ROWS = 5_000

Say = Callable[[str], None]


async def repartition(settings: TrackerSettings, partitions: int, say: Say) -> None:
    """Give `saga.steps` and the table so many partitions, or go on with that.

    Raises
    ------
    DeclarationError
        Trackers run, or the number is none that is possible. Nothing was changed, but for what an
        attempt before this one did.
    NothingTracked
        There is no table yet.
    """
    steps, table = await _counts(settings)
    if partitions <= steps:
        raise DeclarationError(f"{STEPS_TOPIC} has {steps} partitions, and can only be given more")
    if table not in (steps, partitions):
        raise DeclarationError(f"this was begun with --partitions {table}: finish that first")
    await _nobody_runs(settings)
    if table == steps or not await _moving(settings, steps, table):
        say("folding what has not been folded")
        await _drain(settings, steps)
        if table == steps:
            await _grow(settings, SAGAS_CHANGELOG_TOPIC, partitions)
        await asyncio.sleep(_JOIN_SECONDS)
        await _nobody_runs(settings)
        await _nothing_waits(settings)
    await _move(settings, steps, partitions, say)
    await _grow(settings, STEPS_TOPIC, partitions)
    say(f"{STEPS_TOPIC} and the saga table have {partitions} partitions; start the trackers")


async def _counts(settings: TrackerSettings) -> tuple[int, int]:
    counts = await partition_counts(settings, [STEPS_TOPIC, SAGAS_CHANGELOG_TOPIC])
    if len(counts) < 2:
        raise NothingTracked(
            "there is no saga table yet: the first tracker makes it with SAGA_STEPS_PARTITIONS partitions"
        )
    return counts[STEPS_TOPIC], counts[SAGAS_CHANGELOG_TOPIC]


async def _nobody_runs(settings: TrackerSettings) -> None:
    for group in await describe_groups(settings, [COLLECTOR_GROUP, TRACKER_GROUP]):
        if group.hosts:
            where = ", ".join(sorted(set(group.hosts)))
            raise DeclarationError(
                f"{group.name} has members at {where}: stop all trackers, and whatever starts them again. "
                "One that was killed counts until its session has timed out"
            )


async def _nothing_waits(settings: TrackerSettings) -> None:
    async with Lags(settings) as lags:
        lag = worst((await lags.of_trackers(_now_ms())).values())
    if lag.records:
        raise DeclarationError(
            f"a tracker ran meanwhile, and {lag.records} frames are not folded. Stop it, and begin again"
        )


async def _drain(settings: TrackerSettings, partitions: int) -> None:
    """Fold all frames there are, as a tracker does that has no collector."""
    with tempfile.TemporaryDirectory(prefix="saga-repartition-") as folder:
        alone = settings.model_copy(update={"state_dir": Path(folder), "flows_dir": ""})
        cluster = Cluster(await cluster_id(settings), partitions)
        announcements = Announcements(alone)
        async with (
            AIOKafkaProducer(
                **connection(settings),
                enable_idempotence=True,
                acks="all",
                max_request_size=settings.saga_bytes + 64 * 1024,
            ) as producer,
            Effects(alone) as effects,
        ):
            flows = FlowRegistry(alone, producer)
            known = Knowledge(announcements, flows, alone.retention)
            tracker = Tracker(alone, KafkaPlatform(alone, cluster), producer, effects, known, Figures())
            grace_seconds = alone.stop_grace_ms / 1000
            await together(
                asyncio.Event(), grace_seconds, announcements, flows, tracker, _Folded(alone, tracker)
            )


class _Folded:
    """A part that ends once nothing waits to be folded."""

    def __init__(self, settings: TrackerSettings, tracker: Tracker) -> None:
        self._settings = settings
        self._tracker = tracker

    async def run(self, stop: asyncio.Event) -> None:
        async with Lags(self._settings) as lags:
            while not stop.is_set():
                await asyncio.sleep(_LOOK_SECONDS)
                if self._tracker.ready and not worst((await lags.of_trackers(_now_ms())).values()).records:
                    return


async def _grow(settings: TrackerSettings, topic: str, partitions: int) -> None:
    async with admin(settings) as client:
        await client.create_partitions({topic: NewPartitions(partitions)})
    deadline = time.monotonic() + _READY_SECONDS
    while (await partition_counts(settings, [topic])).get(topic) != partitions:
        if time.monotonic() > deadline:
            raise DeclarationError(
                f"{topic} does not get its {partitions} partitions: look after the cluster"
            )
        await asyncio.sleep(_LOOK_SECONDS)


async def _moving(settings: TrackerSettings, steps: int, table: int) -> bool:
    """Whether an attempt before this one has begun to move rows."""
    async with reader(settings) as consumer:
        ends = await consumer.end_offsets(
            [TopicPartition(SAGAS_CHANGELOG_TOPIC, number) for number in range(steps, table)]
        )
    return any(ends.values())


async def _move(settings: TrackerSettings, old: int, new: int, say: Say) -> None:
    async with (
        AIOKafkaProducer(
            **connection(settings),
            enable_idempotence=True,
            acks="all",
            max_batch_size=512 * 1024,
            max_request_size=settings.saga_bytes + 64 * 1024,
        ) as producer,
        changelog_consumer(settings) as consumer,
    ):
        clock: bytes | None = None
        for partition in range(old):
            rows = await _newest(consumer, partition)
            if partition == 0:
                clock = rows.get(_CLOCK)
            moved = await _moved(producer, partition, rows, new)
            say(f"partition {partition}: {moved:,} of {len(rows):,} rows have moved")
        if clock is not None:
            await _append(producer, [(number, _CLOCK, clock) for number in range(old, new)])


async def _newest(consumer: AIOKafkaConsumer, partition: int) -> dict[bytes, bytes]:
    """The newest row of each key of a partition; of one that was removed there is none."""
    source = TopicPartition(SAGAS_CHANGELOG_TOPIC, partition)
    ends = await consumer.end_offsets([source])
    consumer.assign([source])
    await consumer.seek_to_beginning(source)
    rows: dict[bytes, bytes] = {}
    async for _, records in records_before(consumer, ends):
        for record in records:
            key = record.key or b""
            if record.value is None:
                rows.pop(key, None)
            else:
                rows[key] = record.value
    return rows


async def _moved(producer: AIOKafkaProducer, partition: int, rows: Mapping[bytes, bytes], new: int) -> int:
    """Write rows of a partition where they belong, then remove them here; how many they were."""
    homes = {key: saga_partition(key.decode(), new) for key in rows if key != _CLOCK}
    leaving = [key for key, home in homes.items() if home != partition]
    for begin in range(0, len(leaving), _MOVED_ROWS):
        keys = leaving[begin : begin + _MOVED_ROWS]
        await _append(producer, [(homes[key], key, rows[key]) for key in keys])
        await _append(producer, [(partition, key, None) for key in keys])
    return len(leaving)


async def _append(producer: AIOKafkaProducer, rows: Iterable[tuple[int, bytes, bytes | None]]) -> None:
    """Append rows to partitions, None for those that are removed, and wait for all."""
    await asyncio.gather(
        *[
            await producer.send(SAGAS_CHANGELOG_TOPIC, row, key=key, partition=partition)
            for partition, key, row in rows
        ]
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
