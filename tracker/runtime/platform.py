"""What a tracker stands on: its consumer group, its databases, its changelog. Tests simulate it."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from saga.runtime.kafka import AIOKafkaConsumer, TopicPartition
from tracker.core.frame import STEPS_TOPIC
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.runtime.app import TakeFrame, tracker_app
from tracker.runtime.restore import changelog_consumer
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.topics import Cluster, first_offset
from tracker.store.rocks import RocksRows


class Platform(Protocol):
    """Everything that a tracker does not share with its collector. `partitions` are those of the table."""

    @property
    def partitions(self) -> int: ...

    def app(self, take_frame: TakeFrame) -> Any:
        """A Faust app that gives each frame of our partitions to `take_frame`; not started."""

    def rows(self) -> RocksRows:
        """The databases of the table."""

    def changelog(self) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
        """A consumer without a group, to restore the databases with."""

    async def first_offset(self, partition: int, offset: int) -> int:
        """The offset of the first frame of a partition at or behind this offset; there must be one."""


class KafkaPlatform:
    """Kafka, and RocksDB in the state folder."""

    def __init__(self, settings: TrackerSettings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster

    @property
    def partitions(self) -> int:
        return self._cluster.partitions

    def app(self, take_frame: TakeFrame) -> Any:
        return tracker_app(self._settings, self._cluster.partitions, take_frame)

    def rows(self) -> RocksRows:
        return RocksRows(self._settings.state_dir, f"{SAGAS_CHANGELOG_TOPIC} of cluster {self._cluster.id}")

    def changelog(self) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
        return changelog_consumer(self._settings)

    async def first_offset(self, partition: int, offset: int) -> int:
        return await first_offset(self._settings, TopicPartition(STEPS_TOPIC, partition), offset)
