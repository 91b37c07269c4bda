"""Ask the tracker for something, as an operator, and hear what became of it."""

import asyncio
import time
from typing import NamedTuple

from msgspec import DecodeError, json
from uuid_utils import uuid7

from saga.core.errors import SagaError
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    TopicPartition,
    partition_counts,
    producing,
    reader,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.collect import NAMES_LENGTH_MAX, REASON_LENGTH_MAX
from tracker.core.command import COMMANDS_TOPIC, Action, Command
from tracker.core.effect import ANSWERS_TOPIC, Reply
from tracker.core.errors import NothingTracked

_POLL_MS = 200

_answers = json.Decoder(Reply)


class UnusableCommand(SagaError):
    """The tracker would not read such a command. The message says what to change."""


class Asked(NamedTuple):
    """A command that stands on `saga.commands`, and its answer; None if there was none in time."""

    command: Command
    reply: Reply | None


def new_command(
    saga_id: str,
    action: Action,
    by: str,
    reason: str,
    event: str = "",
    undo: bool = True,
    *,
    id_: str | None = None,
) -> Command:
    """A command of this moment with an id of its own, or with one that a repeat of it will have too.

    Raises
    ------
    UnusableCommand
        `by` or `reason` is empty or too long.
    """
    check_who_and_why(by, reason)
    at_ms = time.time_ns() // 1_000_000
    return Command(id_ or str(uuid7()), saga_id, action, by, reason, at_ms, event, undo)


def check_who_and_why(by: str, reason: str) -> None:
    """See that both are there and can be kept.

    Raises
    ------
    UnusableCommand
        One of them is empty or too long.
    """
    for name, text, longest in (("by", by, NAMES_LENGTH_MAX), ("reason", reason, REASON_LENGTH_MAX)):
        if not text.strip():
            raise UnusableCommand(f"`{name}` is empty: it is kept, so say it")
        if len(text) > longest:
            raise UnusableCommand(f"`{name}` has {len(text):,} characters, {longest:,} are the most")


async def ask(settings: KafkaSettings, command: Command, wait_seconds: float) -> Asked:
    """Send a command and wait for its answer; with 0 seconds do not wait.

    A command without an answer is not lost: the tracker obeys it when it comes to read it.

    Raises
    ------
    NothingTracked
        There is no topic for commands, so no tracker has been there.
    KafkaError
        Kafka did not take the command.
    """
    counts = await partition_counts(settings, [COMMANDS_TOPIC, ANSWERS_TOPIC])
    for topic in (COMMANDS_TOPIC, ANSWERS_TOPIC):
        if topic not in counts:
            raise NothingTracked(f"no topic {topic}: start the tracker with `saga track`")
    if wait_seconds <= 0:
        await _send(settings, command)
        return Asked(command, None)
    answers = [TopicPartition(ANSWERS_TOPIC, partition) for partition in range(counts[ANSWERS_TOPIC])]
    async with reader(settings) as consumer:
        consumer.assign(answers)
        # Where the answer can stand at the earliest is settled before the question is asked.
        for partition, end in (await consumer.end_offsets(answers)).items():
            consumer.seek(partition, end)
        await _send(settings, command)
        try:
            async with asyncio.timeout(wait_seconds):
                return Asked(command, await _answer(consumer, command.id))
        except TimeoutError:
            return Asked(command, None)


async def _send(settings: KafkaSettings, command: Command) -> None:
    async with producing(settings) as producer:
        await producer.send_and_wait(COMMANDS_TOPIC, json.encode(command), key=command.saga.encode())


async def _answer(consumer: AIOKafkaConsumer, command_id: str) -> Reply:
    while True:
        for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
            for record in records:
                try:
                    reply = _answers.decode(record.value or b"")
                except (DecodeError, UnicodeDecodeError):
                    continue  # somebody else's record
                if reply.command == command_id:
                    return reply
