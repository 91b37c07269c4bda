"""Many commands at once, and their answers."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from msgspec import DecodeError, json

from saga.runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
    connection,
    partition_counts,
    reader,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.command import COMMANDS_TOPIC, Command
from tracker.core.effect import ANSWERS_TOPIC, Reply
from tracker.core.errors import NothingTracked

_POLL_MS = 200
_CLOCKS_MS = 60_000
"""So far apart may the clocks of two machines be."""

_replies = json.Decoder(Reply)


class Commands:
    """Commands of a job that was made then: answers since that time are heard, also those to a runner before.

    Raises
    ------
    NothingTracked
        There is no topic for commands, so no tracker has been there.
    """

    def __init__(self, settings: KafkaSettings, since_ms: int) -> None:
        self._settings = settings
        self._since_ms = since_ms
        self._stack = contextlib.AsyncExitStack()
        self._heard: dict[str, Reply] = {}

    async def __aenter__(self) -> "Commands":
        counts = await partition_counts(self._settings, [COMMANDS_TOPIC, ANSWERS_TOPIC])
        for topic in (COMMANDS_TOPIC, ANSWERS_TOPIC):
            if topic not in counts:
                raise NothingTracked(f"no topic {topic}: start the tracker with `saga track`")
        try:
            self._producer = await self._stack.enter_async_context(
                AIOKafkaProducer(**connection(self._settings), acks="all", enable_idempotence=True)
            )
            self._consumer: AIOKafkaConsumer = await self._stack.enter_async_context(reader(self._settings))
            partitions = [TopicPartition(ANSWERS_TOPIC, number) for number in range(counts[ANSWERS_TOPIC])]
            self._consumer.assign(partitions)
            ends = await self._consumer.end_offsets(partitions)
            since = dict.fromkeys(partitions, self._since_ms - _CLOCKS_MS)
            for partition, found in (await self._consumer.offsets_for_times(since)).items():
                self._consumer.seek(partition, ends[partition] if found is None else found.offset)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ask(self, commands: Sequence[Command], seconds: float, stop: asyncio.Event) -> dict[str, Reply]:
        """Send them, and wait so long for their answers, or until told to stop; the answers by command.

        One that was answered before is not sent again.
        """
        wanted = {command.id for command in commands}
        await self._listen(0)
        sent = [
            await self._producer.send(COMMANDS_TOPIC, json.encode(command), key=command.saga.encode())
            for command in commands
            if command.id not in self._heard
        ]
        await asyncio.gather(*sent)
        deadline = time.monotonic() + seconds
        while wanted - self._heard.keys() and time.monotonic() < deadline and not stop.is_set():
            await self._listen(_POLL_MS)
        return {id_: self._heard.pop(id_) for id_ in wanted & self._heard.keys()}

    async def _listen(self, wait_ms: int) -> None:
        for records in (await self._consumer.getmany(timeout_ms=wait_ms)).values():
            for record in records:
                try:
                    reply = _replies.decode(record.value or b"")
                except (DecodeError, UnicodeDecodeError):
                    continue  # somebody else's record
                self._heard[reply.command] = reply
