"""Settings of the tracker from the environment: each field is a variable SAGA_<NAME>."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from saga.runtime.settings import KafkaSettings


class TrackerSettings(KafkaSettings):
    """How `saga track` runs."""

    state_dir: Annotated[
        Path,
        Field(
            description="Folder of the saga table. It can be lost: the tracker makes it anew from Kafka. "
            "Each tracker on a machine needs its own."
        ),
    ] = Path("data/tracker")
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
        int, Field(ge=0, description="Unchanged sagas kept decoded in memory; the others are on disk.")
    ] = 50_000
    saga_bytes: Annotated[
        int,
        Field(
            gt=0,
            description="A saga whose encoding is larger is reported and no longer written; it has to fit "
            "into a Kafka record.",
        ),
    ] = 900_000
    session_timeout_ms: Annotated[
        int, Field(gt=0, description="After so long without a sign of life others take over the partitions.")
    ] = 10_000
    stop_grace_ms: Annotated[
        int, Field(gt=0, description="SIGTERM: so long to write what is folded and to leave the groups.")
    ] = 8_000


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
