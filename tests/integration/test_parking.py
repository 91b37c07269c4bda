"""Paused sagas on a real Kafka: their events stand still, and go on in their order, through kills."""

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from saga import Publisher, ServiceSettings
from saga.core.pause import PAUSED_TOPIC, parked_topic
from saga.local import LocalKafka
from saga.runtime.kafka import PAUSED, AIOKafkaProducer, Topic, ensure_topics
from tests.integration.auditor import committed_records
from tests.integration.processes import Process
from tests.integration.walker import Stepped, walker
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

SESSION_MS = 3_000
SETTLE_SECONDS = 120
KILLS = 8


class Street:
    """Walkers who step on, a service that walks with them, and an operator who lets sagas stand still."""

    def __init__(self, bootstrap_servers: str, folder: Path, instances: int) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.stepped: Counter[str] = Counter()
        self.processes = [
            Process(
                ["tests.integration.walker"],
                {
                    "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
                    "SAGA_INSTANCE": f"walker-{number}",
                    "SAGA_SESSION_TIMEOUT_MS": str(SESSION_MS),
                    "SAGA_TRANSACTION_TIMEOUT_MS": "3000",
                },
                folder / f"walker-{number}.log",
            )
            for number in range(instances)
        ]

    async def __aenter__(self) -> "Street":
        settings = ServiceSettings(bootstrap_servers=self.bootstrap_servers)
        await ensure_topics(settings, [PAUSED, Topic("steps-in", 4), Topic("steps-out", 4)])
        self._publisher = await Publisher(walker, settings).__aenter__()
        self._producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers)
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.processes:
            process.end()
        await self._producer.stop()
        await self._publisher.__aexit__(None, None, None)

    async def step(self, saga: str, name: str = "", *, stumbles: bool = False) -> None:
        name = name or saga
        number = self.stepped[name]
        self.stepped[name] += 1
        await self._publisher.publish(Stepped(walker=name, number=number, stumbles=stumbles), saga_id=saga)

    async def pause(self, saga: str) -> None:
        value = json.dumps({"by": "ada", "reason": "to look", "at_ms": 0}).encode()
        await self._producer.send_and_wait(PAUSED_TOPIC, value, key=saga.encode())

    async def resume(self, saga: str) -> None:
        await self._producer.send_and_wait(PAUSED_TOPIC, None, key=saga.encode())

    async def walked(self) -> dict[str, list[int]]:
        """The numbers that each walker has walked, in the order in which they stand on the topic."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        async for record in committed_records(self.bootstrap_servers, ["steps-out"]):
            found[record.key.decode()].append(json.loads(record.value)["number"])
        return dict(found)

    async def outcomes(self, *sagas: str) -> list[str]:
        """What became of the events of these sagas, receipt by receipt."""
        found = []
        async for record in committed_records(self.bootstrap_servers, ["saga.receipts"]):
            told = json.loads(record.value)["receipts"]
            found += [receipt["outcome"] for receipt in told if receipt["saga"] in sagas]
        return found

    async def parked(self) -> set[bytes]:
        """The keys of what is parked now."""
        found: set[bytes] = set()
        async for record in committed_records(self.bootstrap_servers, [parked_topic("walker")]):
            found.discard(record.key) if record.value is None else found.add(record.key)
        return found

    async def until_walked(self) -> None:
        """Everything that was stepped is walked, once and in its order."""
        wanted = {name: list(range(steps)) for name, steps in self.stepped.items()}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while (found := await self.walked()) != wanted:
            assert loop.time() < deadline, _differences(found, wanted)
            await asyncio.sleep(0.2)


def _differences(found: dict[str, list[int]], wanted: dict[str, list[int]]) -> str:
    wrong = {name: found.get(name, []) for name in wanted if found.get(name) != wanted[name]}
    return f"{len(wrong)} of {len(wanted)} walkers: {dict(list(wrong.items())[:3])}"


async def until_parked(street: Street, sagas: list[str], count: int) -> int:
    """Wait until there are so many receipts `parked`; how many there are then."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_SECONDS
    while (found := (await street.outcomes(*sagas)).count("parked")) < count:
        assert loop.time() < deadline, Counter(await street.outcomes(*sagas))
        await asyncio.sleep(0.1)
    return found


@pytest.fixture
async def one(broker: LocalKafka, tmp_path: Path) -> AsyncIterator[Street]:
    async with Street(broker.bootstrap_servers, tmp_path, instances=1) as street:
        yield street


@pytest.fixture
async def two(broker: LocalKafka, tmp_path: Path) -> AsyncIterator[Street]:
    async with Street(broker.bootstrap_servers, tmp_path, instances=2) as street:
        yield street


async def test_a_paused_saga_stands_still_through_a_kill_and_goes_on_in_its_order(one: Street) -> None:
    [process] = one.processes
    await one.pause("saga-1")
    process.start()
    for _ in range(3):
        await one.step("saga-1")
        await one.step("saga-2")
    await until_parked(one, ["saga-1"], 3)
    await asyncio.to_thread(process.kill)
    process.start()
    for _ in range(2):
        await one.step("saga-1")
    await until_parked(one, ["saga-1"], 5)
    assert set(await one.outcomes("saga-1")) == {"parked"}
    assert len(await one.parked()) == 5
    assert await one.walked() == {"saga-2": [0, 1, 2]}, "the others go on"

    await one.resume("saga-1")
    for _ in range(4):
        await one.step("saga-1")

    await one.until_walked()
    assert await one.parked() == set()
    assert (await one.outcomes("saga-1")).count("handled") == 9


async def test_kills_and_rebalances_lose_double_and_reorder_nothing(two: Street) -> None:
    """Sagas of two keys each are paused and go on while instances are killed or stand still themselves."""
    chance = random.Random(5)
    sagas = [f"saga-{number}" for number in range(12)]
    paused: set[str] = set()
    ending = asyncio.Event()

    async def steps() -> None:
        while not ending.is_set():
            for saga in chance.sample(sagas, 6):
                await two.step(saga, f"{saga}/{chance.choice('ab')}", stumbles=chance.random() < 0.05)
            await asyncio.sleep(0.02)

    async def pauses() -> None:
        while not ending.is_set():
            saga = chance.choice(sagas)
            await (two.resume(saga) if saga in paused else two.pause(saga))
            paused.symmetric_difference_update({saga})
            await asyncio.sleep(chance.uniform(0.02, 0.2))

    for process in two.processes:
        process.start()
    running = [asyncio.create_task(steps()), asyncio.create_task(pauses())]
    parked = 0
    for kill in range(KILLS):
        parked = await until_parked(two, sagas, parked + 1)
        await asyncio.sleep(chance.uniform(0, 0.5))
        process = two.processes[kill % 2]
        if kill % 4 == 3:
            process.pause()
            await asyncio.sleep(SESSION_MS / 1000 + 1.5)
            process.resume()
        else:
            await asyncio.to_thread(process.kill)
            process.start()
    ending.set()
    await asyncio.gather(*running)
    for saga in paused:
        await two.resume(saga)

    await two.until_walked()
    assert await two.parked() == set()
    assert (await two.outcomes(*sagas)).count("handled") == sum(two.stepped.values())
    for process in two.processes:
        # On a busy machine the other one has done everything before this one is there.
        begun = partial(process.has_said, "is running")
        await asyncio.to_thread(until, begun, SETTLE_SECONDS, what="it runs")
        assert await asyncio.to_thread(process.stop) == 0, process.output()[-2000:]
