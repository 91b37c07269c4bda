"""A service and its consumer group: it is not taken in, or nobody has committed anything yet."""

import asyncio
import logging
import uuid

import pytest

from saga import Event, Publisher, Service, ServiceSettings
from saga.runtime.intake import Intake
from saga.runtime.kafka import AIOKafkaConsumer, Topic, ensure_topics, producing
from saga.runtime.worker import Worker
from tests.integration.stranger import stranger

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

LATE_SECONDS = 60


class RoomBooked(Event, topic="group-rooms", type="room.booked", key="room"):
    room: str


async def test_a_service_that_its_group_does_not_take_in_tries_again_until_it_does(
    bootstrap_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits for partitions polls nothing, and what the group says comes with a poll alone."""
    settings = ServiceSettings(bootstrap_servers=bootstrap_servers)
    name = f"group-{uuid.uuid4().hex[:8]}"
    service = Service(name, publishes=[RoomBooked])
    booked = asyncio.Event()

    @service.on(RoomBooked)
    async def note(event: RoomBooked) -> None:
        booked.set()

    await ensure_topics(settings, [Topic("group-rooms")])
    worker = Worker(service, settings)
    with caplog.at_level(logging.WARNING, "saga.runtime.worker"):
        async with asyncio.timeout(LATE_SECONDS):
            async with stranger(bootstrap_servers, name, "group-rooms"):
                running = asyncio.create_task(worker.run())
                while "new session" not in caplog.text:
                    await asyncio.sleep(0.1)
            assert "InconsistentGroupProtocolError" in caplog.text
            async with Publisher(service, settings) as publisher:
                await publisher.publish(RoomBooked(room="12"))
            await booked.wait()
            worker.stop()
            await running


async def test_partitions_of_which_nothing_is_committed_are_not_gone_to_one_by_one(
    bootstrap_servers: str,
) -> None:
    """With each a fetch would be waited for: retry topics are empty, so at every start and rebalance."""
    name = f"group-{uuid.uuid4().hex[:8]}"
    settings = ServiceSettings(bootstrap_servers=bootstrap_servers)
    await ensure_topics(settings, [Topic(name, 30)])
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=3_000,
    )
    intake = Intake(consumer, name, _nothing, _nothing)
    await consumer.start()
    try:
        consumer.subscribe([name], listener=intake)
        async with asyncio.timeout(LATE_SECONDS), producing(settings) as producer:
            assert await intake.poll(500, 10) == []
            await producer.send_and_wait(name, b"an event", partition=7)
            while not (records := await intake.poll(500, 10)):
                pass
    finally:
        await consumer.stop()
    assert [record.value for record in records] == [b"an event"]


async def _nothing() -> None:
    """Nobody works yet."""
