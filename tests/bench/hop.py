"""One service hop: consume, validate, handle, publish one event."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median

from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.outbox import Outbox
from saga.runtime.settings import KafkaSettings
from tests.bench.contest import Entrant, Heat
from tests.bench.row import Row
from tests.bench.sample import SOURCE_TOPIC, TARGET_TOPIC, record

RECORDS = 30_000
ROUNDS_MIN, ROUNDS_MAX = 3, 7
SECONDS = 35
"""No further round is begun after so long: on a busy machine there are fewer."""
OURS = "saga"
SEND_LOOP = "aiokafka by hand, send"


@dataclass
class Contender:
    function: str
    records: int = RECORDS
    target: str = TARGET_TOPIC
    rates: list[float] = field(default_factory=list)


def contenders() -> dict[str, Contender]:
    return {
        OURS: Contender("tests.bench.ours:exactly_once"),
        SEND_LOOP: Contender("tests.bench.loops:transactional_send"),
        "aiokafka by hand, send_batch": Contender("tests.bench.loops:transactional_batches"),
        "faststream, one at a time": Contender("tests.bench.faststream_peer:one_at_a_time", RECORDS // 20),
        "faststream, lists, no headers": Contender("tests.bench.faststream_peer:batches"),
    }


async def run(bootstrap_servers: str) -> Row:
    found = contenders()
    async with AsyncExitStack() as stack:
        entrants = {name: await Entrant.start(contender.function) for name, contender in found.items()}
        for entrant in entrants.values():
            stack.push_async_callback(entrant.end)
        await _load(bootstrap_servers)
        began = time.monotonic()
        for turn in range(ROUNDS_MAX):
            if turn >= ROUNDS_MIN and time.monotonic() - began > SECONDS:
                break
            for place, (name, contender) in enumerate(found.items()):
                group = f"hop-{place}-{turn}"
                heat = Heat(bootstrap_servers, group, SOURCE_TOPIC, contender.target, contender.records)
                await entrants[name].begin(heat)
                contender.rates.append(contender.records / await entrants[name].seconds())
    return _row(found)


async def _load(bootstrap_servers: str) -> None:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    await ensure_topics(settings, map(Topic, (SOURCE_TOPIC, TARGET_TOPIC)))
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=512 * 1024) as producer:
        await asyncio.gather(
            *await Outbox(producer).send(record(SOURCE_TOPIC, number) for number in range(RECORDS))
        )


def _row(found: dict[str, Contender]) -> Row:
    rates = {name: median(contender.rates) for name, contender in found.items()}
    ours = rates.pop(OURS)
    pairs = zip(found[OURS].rates, found[SEND_LOOP].rates, strict=True)
    return Row(
        name="hop",
        unit="events/s",
        ours=ours,
        peers=rates,
        ratio=median(mine / theirs for mine, theirs in pairs),
        goal="exactly-once, at least the hand-written send loop",
        runs=len(found[OURS].rates),
    )
