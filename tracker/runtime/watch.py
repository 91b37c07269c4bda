"""Watching the tracker from outside of it: who falls behind is told of on `saga.alerts`.

Every tracker and every `saga webhooks` takes part; one at a time watches, the one to which the group
`saga-watch` gives its only partition. So the alarm is raised by somebody else when a tracker is dead,
and still raised when all of them are, as long as `saga webhooks` runs. What it looks at is Kafka's
word about the groups, never a tracker's about itself.

The alarms are kept as metadata of the group's offset: who takes over goes on where the last one was.
"""

import asyncio
import logging
import time
from collections.abc import Iterable

from msgspec import DecodeError, Struct, json

from saga.core.errors import KafkaUnavailable
from saga.core.receipt import SERVICES_TOPIC
from saga.runtime.kafka import (
    SERVICES,
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    KafkaError,
    OffsetAndMetadata,
    TopicPartition,
    connection,
    ensure_topics,
    started,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.effect import Alert
from tracker.core.lag import COLLECTOR_GROUP, SILENT, Alarm, Limits, alert, judge, worst
from tracker.core.saga import TRACKER_GROUP
from tracker.runtime.effects import Effects, NotDelivered
from tracker.runtime.lag import Lags
from tracker.runtime.settings import WatchSettings
from tracker.runtime.supervision import unless_stopped

logger = logging.getLogger(__name__)

GROUP = "saga-watch"

_TOKEN = TopicPartition(SERVICES_TOPIC, 0)
"""Who has this partition watches. Its records are nothing to us, only that it can have one owner."""


class _Kept(Struct, frozen=True):
    """The alarms by group, as the metadata of an offset."""

    alarms: dict[str, Alarm]


class Watch:
    """Raises and ends the alarms as long as `run` does, whenever it is this process that watches."""

    def __init__(self, settings: KafkaSettings, watch: WatchSettings) -> None:
        self._settings = settings
        self._interval_seconds = watch.lag_interval_ms / 1000
        self._limits = Limits(watch.lag_alert_ms, watch.lag_alert_after_ms)
        self._alarms: dict[str, Alarm] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until told to stop. What Kafka refuses is tried again: others tell of Kafka."""
        while not stop.is_set():
            try:
                await ensure_topics(self._settings, [SERVICES])
                await self._watch(stop)
            except (KafkaError, KafkaUnavailable, NotDelivered, OSError) as error:
                logger.info("the lag can't be watched, and is looked at again soon: %r", error)
                await unless_stopped(stop, asyncio.sleep(self._interval_seconds))

    async def _watch(self, stop: asyncio.Event) -> None:
        consumer = AIOKafkaConsumer(
            **connection(self._settings),
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )
        consumer.subscribe([SERVICES_TOPIC], listener=_Handover(self))
        await started(consumer)
        try:
            async with Lags(self._settings) as lags:
                while not stop.is_set():
                    await unless_stopped(stop, asyncio.sleep(self._interval_seconds))
                    await consumer.getmany(timeout_ms=0)  # a member that never asks is put out of its group
                    if not stop.is_set() and _TOKEN in consumer.assignment():
                        await self._look(consumer, lags)
        finally:
            await consumer.stop()

    async def _look(self, consumer: AIOKafkaConsumer, lags: Lags) -> None:
        known = self._alarms
        if known is None:
            known = self._alarms = await _kept(consumer)
        now_ms = time.time_ns() // 1_000_000
        found = {
            COLLECTOR_GROUP: worst((await lags.of_collectors(now_ms)).values()),
            TRACKER_GROUP: worst((await lags.of_trackers(now_ms)).values()),
        }
        alarms = dict(known)
        alerts: list[Alert] = []
        for group, lag in found.items():
            before = alarms.get(group, SILENT)
            after, news = judge(before, round(lag.seconds * 1000), now_ms, self._limits)
            alarms[group] = after
            if news:
                alerts.append(alert(group, before, news, lag, now_ms, after))
        if alarms == known or self._alarms is not known:
            return  # nothing new; or it is for others to say since somebody joined
        if alerts:
            await self._tell(alerts)
        # Told before it is kept: a death in between tells it again, under the same id.
        kept = json.encode(_Kept(alarms)).decode()
        await consumer.commit({_TOKEN: OffsetAndMetadata(0, kept)})
        self._alarms = alarms

    async def _tell(self, alerts: Iterable[Alert]) -> None:
        for told in alerts:
            logger.warning("%s", told.message)
        async with Effects(self._settings) as effects:
            await effects.send(list(alerts))

    def handed_over(self) -> None:
        """What others have decided meanwhile is not known here."""
        self._alarms = None


async def _kept(consumer: AIOKafkaConsumer) -> dict[str, Alarm]:
    committed = await consumer._coordinator.fetch_committed_offsets([_TOKEN])
    text = committed[_TOKEN].metadata if _TOKEN in committed else ""
    if not text:
        return {}
    try:
        return json.decode(text, type=_Kept).alarms
    except (DecodeError, UnicodeDecodeError) as error:
        logger.warning("the alarms begin anew, those of group %s can't be read: %s", GROUP, error)
        return {}


class _Handover(ConsumerRebalanceListener):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._watch.handed_over()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._watch.handed_over()
