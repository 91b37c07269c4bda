"""Whether the partitions are still ours: a lease on the monotonic clock, renewed by Kafka's word."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from aiokafka.errors import CommitFailedError
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP as FaustPartition  # noqa: N811 - it is no constant

from saga.core.errors import SagaError
from saga.runtime.fencing import group_error
from saga.runtime.kafka import TopicPartition

logger = logging.getLogger(__name__)

_NEVER = float("-inf")


class OwnershipLost(SagaError):
    """The group has gone on without this tracker, which was stopped or cut off for too long."""


class GroupOwnership:
    """The membership of Faust's consumer in its group.

    A tracker that was stopped for longer than its session must not write to the changelog any more:
    the new owner has read it to the end. So whoever writes asks first. A commit of offsets names the
    generation, and so proves that the partitions were ours when it was sent; nobody else can have
    them for the session timeout after it, of which half is used.
    """

    def __init__(self, app: Any, topic: str, session_timeout_ms: int) -> None:
        self._app = app
        self._topic = topic
        self._lease_seconds = session_timeout_ms / 2000
        self._proven_at = _NEVER

    def proven(self) -> None:
        """Kafka has just told us that the partitions are ours."""
        self._proven_at = asyncio.get_running_loop().time()

    async def ensure(self) -> None:
        """Return if the partitions are ours for half a session timeout at least.

        Raises
        ------
        OwnershipLost
            They are not, or no broker answers.
        """
        if asyncio.get_running_loop().time() - self._proven_at > self._lease_seconds:
            await self.prove()

    async def prove(self) -> None:
        """Ask Kafka whether the partitions are ours, whatever it said last.

        Raises
        ------
        OwnershipLost
            They are not, or no broker answers.
        """
        begun = asyncio.get_running_loop().time()
        if not await self._in_consumer_thread(lambda consumer: consumer._coordinator._do_heartbeat()):
            raise OwnershipLost("the tracker is no longer a member of its group")
        self._proven_at = begun

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the offset of the next frame of each partition.

        Not to be allowed to is no error: the frames are read again, by whoever owns them now.
        """
        begun = asyncio.get_running_loop().time()
        positions = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, "")
            for partition, offset in offsets.items()
        }
        try:
            await self._in_consumer_thread(lambda consumer: consumer.commit(positions))
        except CommitFailedError as error:
            logger.info("offsets of frames are not committed, the group is rebalancing: %s", error)
            self._proven_at = _NEVER
        else:
            self._proven_at = begun

    async def positions(self, partitions: Iterable[int]) -> dict[int, range]:
        """The offsets of each partition that still has frames, up to the committed one, which is the next."""
        sources = [TopicPartition(self._topic, partition) for partition in partitions]
        first = await self._in_consumer_thread(lambda consumer: consumer.beginning_offsets(sources))
        committed = await self._in_consumer_thread(
            lambda consumer: consumer._coordinator.fetch_committed_offsets(sources)
        )
        return {
            source.partition: range(
                first[source], max(first[source], committed[source].offset if source in committed else 0)
            )
            for source in sources
        }

    def group_error(self) -> BaseException | None:
        """What has gone wrong in the group. A poll would tell; at a rebalance Faust does not poll."""
        thread = self._app.consumer._thread
        if thread is None or thread._consumer is None:
            return None
        return group_error(thread._consumer)

    def end(self, partition: int) -> int | None:
        """The offset behind the last frame of a partition of ours, as Kafka told it last."""
        thread = self._app.consumer._thread
        if thread is None or thread._consumer is None:
            return None
        source = TopicPartition(self._topic, partition)
        known: int | None = (
            thread._consumer.highwater(source) if source in thread._consumer.assignment() else None
        )
        return known

    async def seek(self, partition: int, offset: int) -> None:
        """Have Faust read the partition again from this offset."""
        source = TopicPartition(self._topic, partition)

        async def seek(consumer: Any) -> None:
            if source in consumer.assignment():
                consumer.seek(source, offset)

        await self._in_consumer_thread(seek)
        self._app.consumer._read_offset[FaustPartition(self._topic, partition)] = offset or None

    async def _in_consumer_thread(self, call: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        # Not through Faust's queue of calls: there a fetch of a second may stand before us.
        thread = self._app.consumer._thread
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(call(thread._consumer), thread.thread_loop)
        )
