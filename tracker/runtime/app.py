"""The Faust app: one topic, one agent, and no logic. The door to Faust.

Faust gives the tracker its consumer group and the stream of frames. The saga table is ours: writing it and
committing offsets (`tracker.store.commit`), because Faust writes a record at a time, and acknowledges
frames that it skips during a rebalance; and making it anew from its changelog (`tracker.runtime.restore`),
because Faust does so with 11,000 records a second, and stands still at one that it can't read.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import faust
from faust.tables.manager import TableManager
from yarl import URL

from saga.runtime.kafka import connection
from tracker.core.frame import STEPS_TOPIC
from tracker.core.saga import TRACKER_GROUP
from tracker.runtime.settings import TrackerSettings

TakeFrame = Callable[[int, int, int, bytes | None], Awaitable[None]]
"""Called with partition, offset, timestamp in milliseconds and value of each frame, one at a time."""


class _NoTables(TableManager):
    """Faust gives an app a second to register its tables. Ours has none."""

    logger = logging.getLogger(TableManager.__module__)  # or its start would be logged as one of ours

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


def tracker_app(settings: TrackerSettings, partitions: int, take_frame: TakeFrame) -> faust.App:
    """An app that gives each frame of our partitions of `saga.steps` to `take_frame`."""
    app = faust.App(
        TRACKER_GROUP,
        **_broker(connection(settings)),
        web_enabled=False,
        autodiscover=False,
        topic_disable_leader=True,
        TableManager=_NoTables,
        topic_partitions=partitions,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=min(1.0, settings.session_timeout_ms / 3000),
        broker_request_timeout=max(30.0, settings.session_timeout_ms / 1000),
        broker_rebalance_timeout=60.0,
        # Frames, not records: each may have half a megabyte. Twice so many wait at most: 32 MB.
        broker_max_poll_records=32,
        stream_buffer_maxsize=32,
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

    @app.agent(topic)  # type: ignore[untyped-decorator, unused-ignore]
    async def frames(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            await take_frame(message.partition, message.offset, round(message.timestamp * 1000), event.value)

    return app


def _broker(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a client, in the words of Faust."""
    servers = [URL(f"kafka://{server.strip()}") for server in options["bootstrap_servers"].split(",")]
    context = options.get("ssl_context")
    credentials: faust.Credentials | None = None
    if "sasl_mechanism" in options:
        credentials = faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    elif context is not None:
        credentials = faust.SSLCredentials(context)
    return {"broker": servers, "broker_credentials": credentials}
