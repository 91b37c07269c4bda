"""The two ways a micro-batch becomes durable: what a service author chooses with `guarantee=`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from saga.core.outcome import Output
from saga.runtime.fencing import FencedProducer, Membership, MembershipLost, seen
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    CommitFailedError,
    IllegalGenerationError,
    IllegalOperation,
    KafkaError,
    OffsetAndMetadata,
    TopicPartition,
    UnknownMemberIdError,
    connection,
    started,
)
from saga.runtime.outbox import Outbox
from saga.runtime.settings import ServiceSettings

Offsets = Mapping[TopicPartition, OffsetAndMetadata]

_BATCH_BYTES_MAX = 512 * 1024
_REQUEST_BYTES_MAX = 16 * 1024 * 1024


class Guarantee(Protocol):
    """Writes micro-batches. All calls but `start` and `stop` are made under the worker's commit lock."""

    async def start(self) -> None:
        """Connect. A transactional producer fences its predecessor here."""

    async def stop(self) -> None:
        """Disconnect; what was not written is dropped."""

    async def write(self, outputs: Sequence[Output], offsets: Offsets, member: Membership) -> None:
        """Make outputs and offsets durable; when it raises, the session is over.

        Raises
        ------
        MembershipLost
            The partitions belong to somebody else by now.
        """

    async def flush(self) -> None:
        """Make durable what `write` has put off; called at intervals and before partitions are given up."""


class ExactlyOnce:
    """Outputs and offsets in one Kafka transaction, fenced by the group's generation."""

    def __init__(self, settings: ServiceSettings, transactional_id: str) -> None:
        self._producer = FencedProducer(
            **connection(settings),
            transactional_id=transactional_id,
            transaction_timeout_ms=settings.transaction_timeout_ms,
            max_batch_size=_BATCH_BYTES_MAX,
            max_request_size=_REQUEST_BYTES_MAX,
        )
        self._outbox = Outbox(self._producer)

    async def start(self) -> None:
        await started(self._producer)

    async def stop(self) -> None:
        await self._producer.stop()

    async def write(self, outputs: Sequence[Output], offsets: Offsets, member: Membership) -> None:
        producer = self._producer
        await producer.begin_transaction()
        adding = asyncio.ensure_future(producer.send_offsets(offsets, member))
        try:
            await asyncio.gather(adding, *await self._send(outputs, adding))
        except MembershipLost:
            await producer.abort_transaction()
            raise
        finally:
            if not adding.cancel():
                seen(adding)
        await producer.commit_transaction()

    async def _send(
        self, outputs: Sequence[Output], adding: asyncio.Future[None]
    ) -> Sequence[asyncio.Future[Any]]:
        try:
            return await self._outbox.send(outputs)
        except IllegalOperation as error:
            # The transaction has failed meanwhile: with what, those are told who wait for its offsets.
            await adding
            raise KafkaError(str(error)) from error

    async def flush(self) -> None:
        return


class AtLeastOnce:
    """Outputs as soon as they are there, offsets a little later, no transaction.

    A crash repeats what was handled since the last offsets were committed; the derived ids repeat
    with it, so consumers that remember what they handled see each event once.
    """

    def __init__(self, settings: ServiceSettings, consumer: AIOKafkaConsumer) -> None:
        self._producer = AIOKafkaProducer(
            **connection(settings),
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES_MAX,
            max_request_size=_REQUEST_BYTES_MAX,
        )
        self._outbox = Outbox(self._producer)
        self._consumer = consumer
        self._pending: dict[TopicPartition, OffsetAndMetadata] = {}

    async def start(self) -> None:
        await started(self._producer)

    async def stop(self) -> None:
        await self._producer.stop()

    async def write(self, outputs: Sequence[Output], offsets: Offsets, member: Membership) -> None:
        written = await self._outbox.send(outputs)
        if written:
            await asyncio.gather(*written)
        self._pending.update(offsets)

    async def flush(self) -> None:
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        try:
            await self._consumer.commit(pending)
        except (CommitFailedError, IllegalGenerationError, UnknownMemberIdError) as error:
            raise MembershipLost(f"offsets not committed: {error}") from error
