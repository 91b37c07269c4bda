"""Webhooks on a real Kafka, with real HTTP servers at their ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, partition_counts
from saga.runtime.settings import KafkaSettings
from tests.facts import NOON_MS
from tests.http_receiver import OK, Answer, HttpReceiver, receiver
from tests.integration.processes import Process
from tracker.core.cloudevent import cloud_event
from tracker.core.effect import ALERTS_TOPIC, LIFECYCLE_TOPIC, Alert, Announced, Lifecycle
from tracker.runtime.settings import WebhookSettings
from tracker.runtime.webhooks import Webhooks

pytestmark = pytest.mark.kafka

DEAD_LETTERS = "saga.dlq.webhooks"
SECONDS_MAX = 30
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def broker() -> Iterator[str]:
    """A broker of its own: the names of the topics are the same for all tests."""
    with LocalKafka() as kafka:
        kafka.start()
        yield kafka.bootstrap_servers


def settings(bootstrap_servers: str, *urls: str, **changes: object) -> WebhookSettings:
    return WebhookSettings(
        bootstrap_servers=bootstrap_servers,
        webhook_urls=",".join(urls),
        webhook_secret=SECRET,
        webhook_attempts=3,
        webhook_retry_first_ms=20,
        **changes,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def running(how: WebhookSettings) -> AsyncIterator[None]:
    """Webhooks in this event loop, from when their groups have their places on the topics."""
    stop = asyncio.Event()
    task = asyncio.create_task(Webhooks(how).run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, SECONDS_MAX)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0.02)


def alert(number: int, saga: str = "") -> Alert:
    name = saga or f"s-{number}"
    return Alert(f"a-{number}", name, "o-1", "order", 1, "breach", NOON_MS, "late", "charge-fast")


async def tell(bootstrap_servers: str, *effects: Announced) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        for effect in effects:
            topic, key, value, headers = cloud_event(effect)
            await producer.send_and_wait(topic, value, key=key, headers=headers)


async def at_work(bootstrap_servers: str, *servers: HttpReceiver) -> None:
    """Tell of things until all have heard of one: their groups have begun, then."""
    async with asyncio.timeout(SECONDS_MAX):
        number = 0
        while not all(server.requests for server in servers):
            number += 1
            await tell(bootstrap_servers, *(alert(0, f"warm-{number}-{part}") for part in range(8)))
            await asyncio.sleep(0.2)
        # Each partition has had one by now: none is left whose place is still to be found.
        count = -1
        while count != (count := sum(len(server.requests) for server in servers)):
            await asyncio.sleep(0.5)
    for server in servers:
        server.requests.clear()


async def dead_letters(bootstrap_servers: str) -> list[dict[str, str]]:
    counts = await partition_counts(KafkaSettings(bootstrap_servers=bootstrap_servers), [DEAD_LETTERS])
    partitions = [TopicPartition(DEAD_LETTERS, number) for number in range(counts[DEAD_LETTERS])]
    found = []
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [{name: value.decode() for name, value in record.headers} for record in records]
    return found


async def test_alerts_are_told_to_each_url_and_lifecycle_events_if_wanted(broker: str) -> None:
    async with receiver() as one, receiver() as other:
        how = settings(broker, one.url, other.url, webhook_topics=f"{ALERTS_TOPIC},{LIFECYCLE_TOPIC}")
        async with running(how):
            await at_work(broker, one, other)
            begun = Lifecycle("l-1", "s-1", "o-1", "order", 1, "started", NOON_MS)
            await tell(broker, begun, *(alert(number) for number in range(1, 20)))
            await until(lambda: len(one.requests) == len(other.requests) == 20)

    assert sorted(one.ids) == sorted(other.ids) == sorted(["l-1", *(f"a-{n}" for n in range(1, 20))])


async def test_a_slow_or_broken_url_holds_up_no_other(broker: str) -> None:
    async with (
        receiver() as quick,
        receiver() as slow,
        running(settings(broker, quick.url, slow.url, "http://127.0.0.1:1/hook")),
    ):
        await at_work(broker, quick, slow)
        slow.delay_seconds = 5
        await tell(broker, *(alert(number) for number in range(1, 100)))
        await until(lambda: len(quick.requests) == 99)
        assert len(slow.requests) <= 8


async def test_what_is_given_up_is_a_dead_letter_and_others_pass_it(broker: str) -> None:
    def answer(event: dict[str, object], times: int) -> Answer:
        return (500, {}) if event["id"] == "a-1" else OK

    async with receiver(answer=answer) as server, running(settings(broker, server.url)):
        await at_work(broker, server)
        await tell(broker, alert(1), alert(2))
        await until(lambda: server.ids.count("a-1") == 3 and "a-2" in server.ids)
        async with asyncio.timeout(SECONDS_MAX):
            while not (letters := await dead_letters(broker)):
                await asyncio.sleep(0.1)

    [letter] = letters
    assert letter["ce_id"] == "a-1"
    assert letter["__streams.errors.message"] == "HTTP 500, 3 attempts"
    assert letter["__streams.errors.topic"] == ALERTS_TOPIC
    assert letter["saga_dlq_handler"] == server.url


async def test_events_of_one_saga_come_in_their_order(broker: str) -> None:
    def answer(event: dict[str, object], times: int) -> Answer:
        return (503, {}) if event["id"] == "a-1" and times < 3 else OK

    async with receiver(answer=answer) as server, running(settings(broker, server.url)):
        await at_work(broker, server)
        await tell(broker, *(alert(number, "s-1") for number in range(1, 5)))
        await until(lambda: "a-4" in server.ids)

    assert server.ids == ["a-1", "a-1", "a-1", "a-2", "a-3", "a-4"]


async def test_two_share_the_work_and_one_takes_over_from_the_other(broker: str) -> None:
    async with receiver(delay_seconds=0.01) as server:
        how = settings(broker, server.url)
        async with running(how):
            await at_work(broker, server)
            async with running(how):
                await tell(broker, *(alert(number) for number in range(1, 101)))
            await tell(broker, *(alert(number) for number in range(101, 201)))
            await until(lambda: len(set(server.ids)) == 200)


async def test_the_process_ends_when_told_to(broker: str, tmp_path: Path) -> None:
    async with receiver() as server:
        process = Process(
            ["saga.cli", "webhooks", "--urls", server.url],
            {"SAGA_BOOTSTRAP_SERVERS": broker, "SAGA_WEBHOOK_SECRET": SECRET},
            tmp_path / "log",
        )
        process.start()
        try:
            await at_work(broker, server)
            assert await asyncio.to_thread(process.stop) == 0
        finally:
            process.end()
            print(process.output())


async def test_after_a_restart_it_goes_on_where_it_was(broker: str) -> None:
    async with receiver() as server:
        how = settings(broker, server.url)
        async with running(how):
            await at_work(broker, server)
            await tell(broker, alert(1))
            await until(lambda: server.ids == ["a-1"])
        await tell(broker, alert(2))
        async with running(how):
            await until(lambda: "a-2" in server.ids)

    assert server.ids == ["a-1", "a-2"]
