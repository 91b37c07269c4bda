"""The Faust app: one topic, one table, one agent, and no logic. The door to Faust.

Faust gives the tracker its consumer group, the assignment of table partitions next to those of
`saga.steps`, and the recovery of the table from its changelog. Writing the table and committing
offsets is ours (`tracker.store.commit`): Faust writes a record at a time, and acknowledges frames
that it skips during a rebalance.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import faust
from yarl import URL

from tracker.core.frame import STEPS_TOPIC
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.runtime.settings import TrackerSettings

_TABLE = "sagas"
GROUP = SAGAS_CHANGELOG_TOPIC.removesuffix(f"-{_TABLE}-changelog")

_ROCKSDB = {
    "driver": "rocksdict",
    # Per partition; Faust's own values would let eight partitions take 1.5 GB of memory to write.
    "write_buffer_size": 16 * 1024 * 1024,
    "max_write_buffer_number": 3,
    "target_file_size_base": 64 * 1024 * 1024,
    "block_cache_size": 32 * 1024 * 1024,
    "bloom_filter_size": 10,
}

TakeFrame = Callable[[int, int, int, bytes | None], Awaitable[None]]
"""Called with partition, offset, timestamp in milliseconds and value of each frame, one at a time."""


class TrackerApp(NamedTuple):
    """A Faust app that has not been started, and its table."""

    app: Any
    table: Any

    def database(self, partition: int) -> Any:
        """The RocksDB that Faust opened for a partition of the table."""
        return self.table.data._db_for_partition(partition)


def tracker_app(settings: TrackerSettings, partitions: int, take_frame: TakeFrame) -> TrackerApp:
    """An app that gives each frame of our partitions of `saga.steps` to `take_frame`."""
    servers = settings.bootstrap_servers.split(",")
    app = faust.App(
        GROUP,
        broker=[URL(f"kafka://{server.strip()}") for server in servers],
        store="rocksdb://",
        datadir=str(settings.state_dir),
        web_enabled=False,
        autodiscover=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=min(1.0, settings.session_timeout_ms / 3000),
        broker_request_timeout=max(30.0, settings.session_timeout_ms / 1000),
        broker_rebalance_timeout=60.0,
        broker_max_poll_records=200,
        # Frames, not records: each may have half a megabyte.
        stream_buffer_maxsize=200,
    )
    # acks=False: Faust commits nothing of this topic by itself.
    topic = app.topic(
        STEPS_TOPIC,
        key_type=bytes,
        key_serializer="raw",
        value_type=bytes,
        value_serializer="raw",
        partitions=partitions,
        allow_empty=True,
        acks=False,
    )
    table = app.Table(_TABLE, key_type=bytes, value_type=bytes, partitions=partitions, options=dict(_ROCKSDB))

    @app.agent(topic)  # type: ignore[untyped-decorator, unused-ignore]
    async def frames(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            await take_frame(message.partition, message.offset, round(message.timestamp * 1000), event.value)

    return TrackerApp(app, table)
