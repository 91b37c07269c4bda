"""Telling people where sagas stand still: seen in the read model, told on `saga.alerts`."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from saga.core.errors import SagaError
from saga.runtime.kafka import KafkaError
from saga.runtime.settings import KafkaSettings
from tracker.alongside import alongside
from tracker.core.contract.standstill import Alarms
from tracker.runtime.effects import Effects
from tracker.view.known import Known
from tracker.view.projector.figures import ProjectorFigures
from tracker.view.projector.settings import ProjectorSettings
from tracker.view.queries.reader import Reader
from tracker.view.queries.standstill import raised_alarms, standing_still

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_REST = 20
"""After a look it rests for so many times what that took, which may be a second with millions of sagas."""


@contextlib.asynccontextmanager
async def telling_standstills(
    settings: ProjectorSettings,
    reader: Reader,
    known: Callable[[], Known],
    figures: ProjectorFigures,
) -> AsyncIterator[None]:
    """Look every few seconds as long as the block lasts, whenever the projector of `figures` is at work.

    What Kafka or the database refuse is tried again with the next look. With `standstill_after_ms` 0 nothing
    is told.
    """
    if not settings.standstill_after_ms:
        yield
        return
    async with alongside(_tell(settings, reader, known, figures)):
        yield


async def _tell(
    settings: ProjectorSettings,
    reader: Reader,
    known: Callable[[], Known],
    figures: ProjectorFigures,
) -> None:
    alarms: Alarms | None = None
    took_seconds = 0.0
    while True:
        await asyncio.sleep(max(_LOOK_SECONDS, _REST * took_seconds))
        now_ms = _time_ms(figures)
        if not figures.working:
            alarms = None  # others decide meanwhile
        if now_ms is None:
            continue
        began = time.monotonic()
        try:
            if alarms is None:
                alarms = Alarms(await reader.ask(raised_alarms), settings.standstill_after_ms)
            await _look(settings, reader, known(), alarms, now_ms)
        except Exception as error:  # should this loop end, nobody would be told of anything any more
            expected = isinstance(error, KafkaError | SagaError | OSError)
            logger.warning("where sagas stand still can't be told: %s", error, exc_info=not expected)
        took_seconds = time.monotonic() - began


def _time_ms(figures: ProjectorFigures) -> int | None:
    """Up to when the model has everything; None if it has not, or nobody can say.

    A tracker that is behind has not heard of answers that were given long ago.
    """
    said = figures.said
    if not figures.working or said.building or not said.tracker_as_of_ms:
        return None
    return min(said.as_of_ms, said.tracker_as_of_ms, time.time_ns() // 1_000_000)


async def _look(settings: KafkaSettings, reader: Reader, known: Known, alarms: Alarms, now_ms: int) -> None:
    found = await reader.ask(standing_still, known, now_ms)
    news = alarms.look(found, now_ms)
    if not news:
        return
    for alert in news:
        logger.warning("%s: %s", alert.flow, alert.message)
    async with Effects(settings) as effects:
        await effects.send(news)
    alarms.told(news, found)
