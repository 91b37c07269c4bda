"""Whether the tracker keeps up, asked of Kafka."""

import asyncio
import logging
import time
from collections.abc import Callable

from saga.core.errors import SagaError
from saga.runtime.kafka import KafkaError
from saga.runtime.settings import KafkaSettings
from tracker.core.health import GroupHealth, Health, Standing, source_health, standing
from tracker.core.lag import SourceLag
from tracker.core.watermark import Source
from tracker.runtime.dead_letters import counted
from tracker.runtime.lag import Lags
from tracker.view.times import read_times

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 5.0


async def follow_tracker(settings: KafkaSettings, tell: Callable[[Standing], None]) -> None:
    """Tell about once a second how far the tracker is, until cancelled; nothing while Kafka does not say."""
    said = ""
    while True:
        try:
            async with Lags(settings) as lags:
                while True:
                    tell(await _standing(lags))
                    said = ""
                    await asyncio.sleep(_LOOK_SECONDS)
        except (KafkaError, SagaError, OSError) as error:
            if said != repr(error):
                said = repr(error)
                logger.warning("how far the tracker is can't be asked: %s", error or said)
        await asyncio.sleep(_RETRY_SECONDS)


async def _standing(lags: Lags) -> Standing:
    asked_ms = time.time_ns() // 1_000_000
    collected = (await lags.of_collectors(asked_ms)).values()
    folded = (await lags.of_trackers(asked_ms)).values()
    return standing(asked_ms, collected, folded, await _groups(lags))


async def _groups(lags: Lags) -> list[GroupHealth]:
    return [GroupHealth(group.name, group.state, group.hosts) for group in await lags.groups()]


async def read_health(settings: KafkaSettings, lags: Lags) -> Health:
    """The health of the tracker by Kafka's word."""
    groups = await _groups(lags)
    at_ms = time.time_ns() // 1_000_000
    times = await read_times(settings, len(groups[0].members))
    collected = await lags.of_collectors(at_ms)
    folded = await lags.of_trackers(at_ms)
    # What is gone may be no topic any more, and yet it has to be told.
    sources = sorted({*collected, *times.gone, *_existing(times.watermarks, collected)})
    ends = await lags.ends(source for source in sources if source in collected)
    return Health(
        at_ms,
        groups,
        [
            source_health(
                source,
                collected.get(source, SourceLag(0, 0.0)),
                times.watermarks.get(source),
                source in times.gone,
                ends.get(source),
                at_ms,
            )
            for source in sources
        ],
        {partition: lag for (_, partition), lag in folded.items()},
        times.written_ms,
        await counted(settings, lags.consumer),
    )


def _existing(told: dict[Source, int], collected: dict[Source, SourceLag]) -> set[Source]:
    """Sources that frames tell of, though no collector has committed an offset yet."""
    topics = {topic for topic, _ in collected}
    return {source for source in told if source[0] in topics}
