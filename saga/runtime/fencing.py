"""KIP-447 for aiokafka: offsets committed in a transaction are fenced by the group's generation.

aiokafka 0.14 sends TxnOffsetCommit version 0, which any producer may send for any group: a service
that lost its partitions while it was stopped can still commit them and so double its events. And it
reads committed offsets without waiting for transactions that are still open, so a new owner can
start behind what the old one is about to commit. Both halves are closed here with the two requests
that Kafka has for it since 2.5: TxnOffsetCommit version 3 names member and generation, OffsetFetch
version 7 demands stable offsets.

Source: KIP-447 "Producer scalability for exactly once semantics"; Kafka protocol guide, API keys 9
and 28.
"""

import asyncio
import itertools
import logging
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    IllegalGenerationError,
    KafkaError,
    NotCoordinatorForGroupError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.producer.sender import (
    BACKOFF_OVERRIDE,
    AddOffsetsToTxnHandler,
    AddPartitionsToTxnHandler,
    Sender,
    TxnOffsetCommitHandler,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from aiokafka.structs import OffsetAndMetadata

from saga.core.errors import SagaError

logger = logging.getLogger(__name__)

_NO_TAGS: dict[int, bytes] = {}
_UNSTABLE_OFFSET_COMMIT = 88
_FENCED_INSTANCE_ID = 82
_NO_GENERATION = -1
_UNSTABLE_BACKOFF_SECONDS = 0.05
_UNSTABLE_WARN_EVERY = 100  # attempts, so every five seconds
# After a commit Kafka still writes its markers for a moment and answers CONCURRENT_TRANSACTIONS;
# aiokafka then waits 20 ms, which would be most of the latency of a hop.
_MARKERS_BACKOFF_SECONDS = 0.002


class MembershipLost(SagaError):
    """The group has gone on without this member: what it handled since is dropped, not committed."""


@dataclass(frozen=True)
class Membership:
    """Who we are in a consumer group since the last rebalance."""

    group: str
    member_id: str
    generation: int


def membership(consumer: AIOKafkaConsumer, group: str) -> Membership:
    """The consumer's membership as it is now.

    Raises
    ------
    MembershipLost
        It has none: a commit without a generation would not be fenced by anything.
    """
    coordinator = consumer._coordinator
    if coordinator.generation == _NO_GENERATION:
        raise MembershipLost(f"{group}: not a member of the group at the moment")
    return Membership(group, coordinator.member_id, coordinator.generation)


def group_error(consumer: AIOKafkaConsumer) -> BaseException | None:
    """What the coordination of the group has ended with, or stands still for until somebody polls.

    aiokafka tells of it in `getmany` alone: who does not poll while it waits for partitions waits for ever.
    """
    coordinator = consumer._coordinator
    if coordinator is None:
        return None
    routine = coordinator._coordination_task
    if routine.done() and not routine.cancelled():
        ended_with: BaseException | None = routine.exception()
        return ended_with
    waits_with: BaseException | None = coordinator._pending_exception
    return waits_with


class OffsetFetchResponseV7(Response):
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class OffsetFetchRequestV7(RequestStruct):
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponseV7
    SCHEMA = Schema(
        ("group_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("partition_indexes", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class StableOffsetFetch(Request[OffsetFetchRequestV7]):
    """Committed offsets, or an error while a transaction on them is open."""

    API_KEY = 9

    def __init__(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        self._group = group
        self._topics = defaultdict(list)
        for partition in partitions:
            self._topics[partition.topic].append(partition.partition)

    def build(self, request_struct_class: type[OffsetFetchRequestV7]) -> OffsetFetchRequestV7:
        topics = [(name, indexes, _NO_TAGS) for name, indexes in self._topics.items()]
        return request_struct_class(self._group, topics, True, _NO_TAGS)


async def stable_offsets(
    consumer: AIOKafkaConsumer, group: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """The committed offsets of a group, waiting while an open transaction may still change one.

    The wait is bounded by the transaction timeout of whoever holds the transaction open. Partitions
    without a committed offset are left out.
    """
    request = StableOffsetFetch(group, list(partitions))
    coordinator = consumer._coordinator
    for attempt in itertools.count(1):
        await coordinator.ensure_coordinator_known()
        try:
            return _offsets_in(await coordinator._send_req(request))
        except KafkaError as error:
            if not (error.retriable or isinstance(error, _OffsetsUnstable)):
                raise
            if isinstance(error, NotCoordinatorForGroupError | GroupCoordinatorNotAvailableError):
                coordinator.coordinator_dead()
            if attempt % _UNSTABLE_WARN_EVERY == 0:
                logger.warning("%s: its committed offsets are not stable yet: %r", group, error)
            await asyncio.sleep(_UNSTABLE_BACKOFF_SECONDS)
    raise AssertionError("unreachable")


class _OffsetsUnstable(GroupLoadInProgressError):
    """UNSTABLE_OFFSET_COMMIT (88), which aiokafka does not know."""


def _offsets_in(response: Any) -> dict[TopicPartition, OffsetAndMetadata]:
    _raise_for(response.error_code)
    found = {}
    for topic, partitions, _ in response.topics:
        for index, offset, _, metadata, error_code, _ in partitions:
            _raise_for(error_code)
            if offset >= 0:
                found[TopicPartition(topic, index)] = OffsetAndMetadata(offset, metadata or "")
    return found


def _raise_for(error_code: int) -> None:
    if error_code == _UNSTABLE_OFFSET_COMMIT:
        raise _OffsetsUnstable
    if error_code != 0:
        raise for_code(error_code)()


class TxnOffsetCommitResponseV3(Response):
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(("partition_index", Int32), ("error_code", Int16), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TxnOffsetCommitRequestV3(RequestStruct):
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TxnOffsetCommitResponseV3
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("group_id", CompactString("utf-8")),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", CompactString("utf-8")),
        ("group_instance_id", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("committed_metadata", CompactString("utf-8")),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class FencedTxnOffsetCommit(Request[TxnOffsetCommitRequestV3]):
    """Offsets into the open transaction, if this member still belongs to the group."""

    API_KEY = 28

    def __init__(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        member: Membership,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
    ) -> None:
        self._producer = (transactional_id, producer_id, producer_epoch)
        self._member = member
        self._topics: dict[str, list[tuple[object, ...]]] = defaultdict(list)
        for partition, offset in offsets.items():
            self._topics[partition.topic].append(
                (partition.partition, offset.offset, -1, offset.metadata, _NO_TAGS)
            )

    def build(self, request_struct_class: type[TxnOffsetCommitRequestV3]) -> TxnOffsetCommitRequestV3:
        transactional_id, producer_id, producer_epoch = self._producer
        return request_struct_class(
            transactional_id,
            self._member.group,
            producer_id,
            producer_epoch,
            self._member.generation,
            self._member.member_id,
            None,
            [(name, partitions, _NO_TAGS) for name, partitions in self._topics.items()],
            _NO_TAGS,
        )


class FencedProducer(AIOKafkaProducer):
    """A transactional producer whose offset commits are fenced by the group's generation."""

    def __init__(self, *, transactional_id: str, **options: Any) -> None:
        super().__init__(transactional_id=transactional_id, **options)
        self._sender = _FencedSender(
            self.client,
            acks=-1,
            txn_manager=self._txn_manager,
            retry_backoff_ms=options.get("retry_backoff_ms", 100),
            message_accumulator=self._message_accumulator,
            request_timeout_ms=self._request_timeout_ms,
        )

    async def stop(self) -> None:
        """Disconnect. Whoever used the producer knows by now what became of a transaction that failed."""
        batches = (batch for batches in self._message_accumulator._batches.values() for batch in batches)
        waiters = [self._txn_manager._transaction_waiter, *(batch._drain_waiter for batch in batches)]
        for waiter in waiters:
            if waiter is not None and waiter.done():
                seen(waiter)
        await super().stop()

    def send_offsets(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], member: Membership
    ) -> Awaitable[None]:
        """Add the offsets to the open transaction; before any record, see `_FencedSender`.

        The awaitable raises `MembershipLost` when the group has a newer generation or has forgotten
        this member. Abort the transaction then.
        """
        assert offsets, "aiokafka waits for ever for the answer to an empty commit"
        self._sender.member = member
        return _fenced(self._txn_manager.add_offsets_to_txn(dict(offsets), member.group), member.group)


async def _fenced(added: asyncio.Future[None], group: str) -> None:
    added.add_done_callback(seen)
    # Not awaited itself: who cancels this would cancel it, and the sender can't answer into that.
    await asyncio.wait([added])
    try:
        added.result()
    except (IllegalGenerationError, UnknownMemberIdError) as error:
        raise MembershipLost(f"{group}: {type(error).__name__}") from error


def seen(waiter: asyncio.Future[None]) -> None:
    """Look at the exception of what has ended, or asyncio complains that nobody has."""
    if not waiter.cancelled():
        waiter.exception()


class _FencedSender(Sender):
    """Adds the group to the transaction, then the partitions, then sends records, then offsets.

    aiokafka does some of this at the same time. But the broker verifies records and offsets with the
    transaction's coordinator, one request a producer at a time and none while the transaction is in
    motion; otherwise it answers NOT_ENOUGH_REPLICAS, and the retry costs a backoff of 100 ms.
    """

    member: Membership

    def _maybe_do_transactional_request(self) -> asyncio.Task[Any] | None:
        group = self._txn_manager.consumer_group_to_add()
        if group is not None:
            return asyncio.ensure_future(self._do_add_offsets_to_txn(group))
        task: asyncio.Task[Any] | None = super()._maybe_do_transactional_request()
        return task

    async def _do_add_partitions_to_txn(self, tps: set[TopicPartition]) -> None:
        node = await self._find_coordinator(CoordinationType.TRANSACTION, self._txn_manager.transactional_id)
        await _AddPartitionsHandler(self, tps).do(node)

    async def _do_add_offsets_to_txn(self, group_id: str) -> None:
        node = await self._find_coordinator(CoordinationType.TRANSACTION, self._txn_manager.transactional_id)
        await _AddOffsetsHandler(self, group_id).do(node)

    async def _do_txn_offset_commit(
        self, offsets: dict[TopicPartition, OffsetAndMetadata], group_id: str
    ) -> None:
        if offsets and await self._delivered():
            node = await self._find_coordinator(CoordinationType.GROUP, group_id)
            await _OffsetCommitHandler(self, offsets, group_id).do(node)

    async def _delivered(self) -> bool:
        """Wait until Kafka has the records; false when a partition must join the transaction before that.

        It can join once this request has ended, since there is one at a time: its records would be
        waited for in vain. The offsets are asked for again then.
        """
        manager = self._txn_manager
        delivery = asyncio.ensure_future(self._message_accumulator.flush())
        try:
            while not (delivery.done() or manager.partitions_to_add()):
                await asyncio.wait(
                    [delivery, manager.make_task_waiter()], return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            delivery.cancel()
        return not manager.partitions_to_add()


class _AddPartitionsHandler(AddPartitionsToTxnHandler):
    def handle_response(self, resp: Any) -> float | None:
        backoff: float | None = super().handle_response(resp)
        return _MARKERS_BACKOFF_SECONDS if backoff == BACKOFF_OVERRIDE else backoff


class _AddOffsetsHandler(AddOffsetsToTxnHandler):
    def handle_response(self, resp: Any) -> float | None:
        if for_code(resp.error_code) is ConcurrentTransactions:
            return _MARKERS_BACKOFF_SECONDS
        backoff: float | None = super().handle_response(resp)
        return backoff


class _OffsetCommitHandler(TxnOffsetCommitHandler):
    def create_request(self) -> FencedTxnOffsetCommit:
        manager = self._sender._txn_manager
        return FencedTxnOffsetCommit(
            manager.transactional_id,
            manager.producer_id,
            manager.producer_epoch,
            self._sender.member,
            self._offsets,
        )

    def handle_response(self, resp: Any) -> float | None:
        for _, partitions, _ in resp.topics:
            for _, error_code, _ in partitions:
                error = for_code(error_code)
                if error in (IllegalGenerationError, UnknownMemberIdError) or (
                    error_code == _FENCED_INSTANCE_ID
                ):
                    _fail_abortably(self._sender._txn_manager, IllegalGenerationError())
                    return None
        backoff: float | None = super().handle_response(_AsVersion0(resp))
        return backoff


def _fail_abortably(manager: Any, error: Exception) -> None:
    """Fail the transaction so that it will really be aborted.

    aiokafka forgets at this point what the transaction holds, takes it for empty, and never tells the
    broker to abort it: the next transaction of the producer would commit what this one has written.
    """
    partitions, group = set(manager._txn_partitions), manager._txn_consumer_group
    manager.error_transaction(error)
    manager._transaction_waiter.exception()  # seen: whoever waits for the offsets is told
    manager._txn_partitions.update(partitions)
    manager._txn_consumer_group = group


class _AsVersion0:
    """The answer in the shape that aiokafka's own handler reads."""

    def __init__(self, resp: Any) -> None:
        self.errors = [
            (topic, [(index, error_code) for index, error_code, _ in partitions])
            for topic, partitions, _ in resp.topics
        ]
