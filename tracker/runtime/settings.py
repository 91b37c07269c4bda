"""Settings of the tracker from the environment: each field is a variable SAGA_<NAME>."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from saga.runtime.settings import KafkaSettings
from tracker.core.retention import DAY_MS, Retention

Part = Literal["all", "collector", "tracker"]
Processes = Literal["auto", "1", "2"]


class TrackerSettings(KafkaSettings):
    """How `saga track` runs."""

    state_dir: Annotated[
        Path,
        Field(
            description="Folder of the saga table. It can be lost: the tracker makes it anew from Kafka. "
            "Each tracker on a machine needs its own."
        ),
    ] = Path("data/tracker")
    parts: Annotated[
        Part,
        Field(
            description="What runs here: what reads topics and groups what they tell into frames "
            "(collector), what folds frames into sagas (tracker), or both. Each part scales by itself."
        ),
    ] = "all"
    processes: Annotated[
        Processes,
        Field(
            description="Where both run: with 2 the collector has a process of its own and so each has a "
            "processor; with 1 they share one. auto: 2 where there are two processors."
        ),
    ] = "auto"
    standby: Annotated[
        bool,
        Field(
            description="Keep a copy of the partitions of the other trackers as well, so that they are "
            "taken over at once. It costs their disk space, and the reading of their changelog."
        ),
    ] = False
    flows_dir: Annotated[
        str,
        Field(
            description="Folder of flow files (*.yaml), published to all trackers and read again when one "
            "changes. Empty: only the flows that the cluster knows already."
        ),
    ] = ""
    tracker_topics: Annotated[
        str,
        Field(
            description="Business topics besides those that services announce: names separated by commas, "
            "or a regular expression for the whole name."
        ),
    ] = ""
    steps_partitions: Annotated[
        int,
        Field(
            gt=0,
            description="Partitions of saga.steps and of the saga table, if they do not exist yet: so many "
            "trackers can share the work. It cannot be changed later.",
        ),
    ] = 8

    collect_records: Annotated[
        int, Field(gt=0, description="Records the collector takes from Kafka at once.")
    ] = 8000
    collect_interval_ms: Annotated[
        int, Field(gt=0, description="Light load: Kafka waits so long for more records before it answers.")
    ] = 50
    sources_interval_ms: Annotated[
        int, Field(gt=0, description="How often the collector looks for new business topics.")
    ] = 1000
    watermark_delay_ms: Annotated[
        int,
        Field(
            ge=0,
            description="Time that producers have from the timestamp of an event until it stands in its "
            "topic. Deadlines are judged so much later.",
        ),
    ] = 200
    idle_frame_ms: Annotated[
        int,
        Field(gt=0, description="A partition without steps gets a frame with the watermarks this often."),
    ] = 500
    source_gone_ms: Annotated[
        int,
        Field(
            gt=0,
            description="A source partition that no collector reads for so long, while others are read, is "
            "reported and holds up time no longer. An outage of everything does not count.",
        ),
    ] = 60_000
    frame_steps: Annotated[int, Field(gt=0, description="Steps of one frame at most.")] = 1000
    frame_bytes: Annotated[int, Field(gt=0, description="Bytes of one frame at most.")] = 512 * 1024

    commit_interval_ms: Annotated[int, Field(gt=0, description="Folded sagas are written this often.")] = 100
    dirty_sagas: Annotated[
        int, Field(gt=0, description="Changed sagas that are written at once, before the interval is over.")
    ] = 20_000
    cached_sagas: Annotated[
        int,
        Field(
            ge=0,
            description="Unchanged sagas kept decoded in memory; the others are on disk. One of more than 16 "
            "events counts for several.",
        ),
    ] = 50_000
    saga_bytes: Annotated[
        int,
        Field(
            gt=0,
            description="Of a saga whose encoding is larger only a sample of its events is kept, and that is "
            "reported; it has to fit into a Kafka record.",
        ),
    ] = 900_000
    metrics_host: Annotated[
        str, Field(description="Address that metrics are served at; 0.0.0.0 for all, as a container needs.")
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int,
        Field(
            ge=0,
            le=65_535,
            description="Port of /metrics, /healthz and /readyz; each tracker on a machine needs its "
            "own; 0: none.",
        ),
    ] = 0
    retention_days: Annotated[
        float,
        Field(
            gt=0,
            description="How long a saga is kept that has ended, counted from what was last heard of it. "
            "Facts older than this about a saga that is not known are left out: it may have been removed.",
        ),
    ] = 7.0
    silent_days: Annotated[
        float,
        Field(
            gt=0,
            description="How long a saga is kept that has not ended, and of which nothing is heard. One with "
            "a deadline that runs, or that is being compensated or is stuck, is always kept.",
        ),
    ] = 30.0
    session_timeout_ms: Annotated[
        int, Field(gt=0, description="After so long without a sign of life others take over the partitions.")
    ] = 10_000
    stop_grace_ms: Annotated[
        int, Field(gt=0, description="SIGTERM: so long to write what is folded and to leave the groups.")
    ] = 8_000

    @property
    def retention(self) -> Retention:
        """How long sagas are kept."""
        return Retention(round(self.retention_days * DAY_MS), round(self.silent_days * DAY_MS))


class WatchSettings(KafkaSettings):
    """When the tracker counts as fallen behind. Whoever watches it should have the same."""

    lag_alert_ms: Annotated[
        int,
        Field(
            gt=0,
            description="The tracker is behind when a record waits longer than this to be read; it has "
            "caught up when none waits half as long.",
        ),
    ] = 60_000
    lag_alert_after_ms: Annotated[
        int,
        Field(ge=0, description="It has to be behind, or to have caught up, for so long before it is told."),
    ] = 30_000
    lag_interval_ms: Annotated[int, Field(gt=0, description="How often the lag is looked at.")] = 5_000


class WebhookSettings(KafkaSettings):
    """How `saga webhooks` runs."""

    webhook_urls: Annotated[str, Field(description="Where events are sent to: URLs separated by commas.")] = (
        ""
    )
    webhook_secret: Annotated[
        SecretStr,
        Field(
            description="What they are signed with: `saga webhooks --new-secret` makes one. While it is "
            "replaced both, separated by a comma."
        ),
    ] = SecretStr("")
    webhook_topics: Annotated[
        str, Field(description="What is sent: `saga.alerts`, `saga.lifecycle` or both, separated by commas.")
    ] = "saga.alerts"
    webhook_timeout_ms: Annotated[int, Field(gt=0, description="How long a receiver has to answer.")] = 10_000
    webhook_requests: Annotated[int, Field(gt=0, description="Requests to one URL at the same time.")] = 8
    webhook_attempts: Annotated[
        int,
        Field(
            gt=0,
            description="So often an event is sent to a URL that does not answer, or with 5xx or 429; "
            "then it goes to saga.dlq.webhooks.",
        ),
    ] = 10
    webhook_retry_first_ms: Annotated[
        int, Field(gt=0, description="How long to wait before the second attempt; twice as long each time.")
    ] = 1_000
    webhook_retry_max_ms: Annotated[
        int, Field(gt=0, description="How long to wait between two attempts at most.")
    ] = 300_000
    webhook_retry_after_max_ms: Annotated[
        int, Field(gt=0, description="How long a URL may ask to be left alone (Retry-After).")
    ] = 900_000
