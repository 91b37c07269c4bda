"""How far each partition has been read, and up to when all that was written is in."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from saga.runtime.kafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.view.model.projection import Place, Taken


class Standing(NamedTuple):
    """How far the reading is; times in milliseconds since the epoch.

    Attributes
    ----------
    as_of_ms : all that was written up to then is taken, whatever the topic.
    table_ms : the same of the saga table alone.
    lag_records : how many are not.
    whole : whether the saga table has been taken to its end.
    """

    as_of_ms: int
    table_ms: int
    lag_records: int
    whole: bool


class SteppedBack(Exception):
    """A partition is not what was read so far: its topic was deleted and made again."""


class Follower:
    """Takes records from a consumer, each once, and says where they begin and end."""

    def __init__(
        self, consumer: "AIOKafkaConsumer[bytes, bytes]", offsets: dict[Place, int], as_of_ms: int
    ) -> None:
        self._consumer = consumer
        self._began_ms = now_ms()
        self._next = {TopicPartition(*place): offset for place, offset in offsets.items()}
        # What the database says of all is true of each.
        self._as_of_ms = dict.fromkeys(self._next, as_of_ms)
        consumer.assign(list(self._next))
        for partition, offset in self._next.items():
            consumer.seek(partition, offset)

    async def take(self, within_ms: int, records_max: int) -> dict[str, Taken]:
        """What came by topic; waits for the first record no longer than so many milliseconds.

        Raises
        ------
        SteppedBack
            What comes was read before, or is of another topic of this name.
        """
        found = await self._consumer.getmany(timeout_ms=within_ms, max_records=records_max)
        records: dict[str, list[ConsumerRecord[bytes, bytes]]] = {}
        moved: dict[str, dict[int, tuple[int, int]]] = {}
        for partition, begin in self._next.items():
            # The position and not the last offset: compaction and transactions leave gaps at the end.
            end = await self._consumer.position(partition)
            if end == begin:
                continue
            came = found.get(partition, [])
            if end < begin or (came and came[0].offset < begin):
                raise SteppedBack(
                    f"{partition.topic}-{partition.partition} was read to {begin}, and is at {end}"
                )
            records.setdefault(partition.topic, []).extend(came)
            moved.setdefault(partition.topic, {})[partition.partition] = begin, end
            self._next[partition] = end
            if came:
                self._as_of_ms[partition] = max(self._as_of_ms[partition], min(came[-1].timestamp, now_ms()))
        return {topic: Taken(records[topic], places) for topic, places in moved.items()}

    def standing(self) -> Standing:
        """How far it is after what was taken last."""
        lag, table_lag, heard = 0, 0, True
        for partition, offset in self._next.items():
            end = self._consumer.last_stable_offset(partition)
            answered_ms = self._consumer.last_poll_timestamp(partition)
            ours = partition.topic == SAGAS_CHANGELOG_TOPIC
            if end is None or answered_ms is None:
                heard = heard and not ours
                continue
            behind = max(0, end - offset)
            lag += behind
            table_lag += behind if ours else 0
            if not behind:
                self._as_of_ms[partition] = max(self._as_of_ms[partition], answered_ms)
        table = [at for partition, at in self._as_of_ms.items() if partition.topic == SAGAS_CHANGELOG_TOPIC]
        return Standing(
            _least(self._as_of_ms.values()), _least(table), lag, heard and bool(table) and not table_lag
        )

    def silent_ms(self) -> int:
        """How long no broker has answered for the partition that has waited longest, when nothing came."""
        heard = [self._consumer.last_poll_timestamp(partition) or 0 for partition in self._next]
        return now_ms() - max(_least(heard), self._began_ms) if heard else 0


def now_ms() -> int:
    """The wall clock, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _least(times: Iterable[int]) -> int:
    return min(times, default=0)
