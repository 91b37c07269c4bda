"""Facts that one saga hands on to another: frames of their own on `saga.steps`.

They carry no watermarks: how far the sources have been read is told by who reads them.
"""

import asyncio
import logging
from collections.abc import Iterable

from saga.runtime.kafka import AIOKafkaProducer
from tracker.core.collect import SagaFacts
from tracker.core.effect import HandOn
from tracker.core.frame import STEPS_TOPIC
from tracker.core.pack import FrameLimits, by_partition, pack

logger = logging.getLogger(__name__)

_LIMITS = FrameLimits(steps=1_000, bytes=512 * 1024)


async def hand_on(producer: AIOKafkaProducer, handed: Iterable[HandOn]) -> int:
    """Return when all of them stand on `saga.steps`, those for one saga in the order given.

    Returns how many facts fit into no frame: they are logged and left out, as the collector does.

    Raises
    ------
    KafkaError
        Kafka did not take them now. Some may have been written, and are told twice then.
    """
    facts: SagaFacts = {}
    for each in handed:
        facts.setdefault(each.saga, []).extend(each.facts)
    if not facts:
        return 0
    partitions = len(await producer.partitions_for(STEPS_TOPIC))
    deliveries = []
    refused = 0
    for partition, of_sagas in by_partition(facts, partitions).items():
        packed = pack(of_sagas, [], _LIMITS)
        refused += len(packed.refused)
        for fact in packed.refused:
            logger.error("a %s is too large for a frame and is not handed on", type(fact).__name__)
        deliveries += [
            await producer.send(STEPS_TOPIC, frame, partition=partition) for frame in packed.frames
        ]
    await asyncio.gather(*deliveries)
    return refused
