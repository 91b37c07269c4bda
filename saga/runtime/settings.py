"""Settings from the environment: each field is a variable SAGA_<NAME>."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Guarantee = Literal["exactly-once", "at-least-once"]


class KafkaSettings(BaseSettings):
    """How to reach Kafka, and how topics are made there."""

    model_config = SettingsConfigDict(env_prefix="SAGA_", frozen=True)

    bootstrap_servers: Annotated[str, Field(description="Kafka brokers, host:port separated by commas.")] = (
        "127.0.0.1:9092"
    )
    connect_timeout_seconds: Annotated[
        float,
        Field(gt=0, description="How long to wait for Kafka at start, with backoff, before giving up."),
    ] = 120.0
    topic_partitions: Annotated[
        int, Field(gt=0, description="Partitions of topics that do not exist yet.")
    ] = 8
    topic_replicas: Annotated[
        int, Field(gt=0, description="Replicas of topics that do not exist yet; 3 in production.")
    ] = 1
    span_create: Annotated[
        bool,
        Field(
            description="With an OpenTelemetry SDK: whether each published event gets a span of its own, to "
            "which its consumers' spans refer (true), or they refer to the span it was published in (false)."
        ),
    ] = True


class ServiceSettings(KafkaSettings):
    """How a service runs. What it does is declared in code (`saga.Service`)."""

    instance: Annotated[
        str,
        Field(
            description="Name of this instance, unique among those of the service and the same after a "
            "restart: its open transaction is then ended at once instead of after the timeout. Empty: a "
            "random one."
        ),
    ] = ""
    batch_records: Annotated[int, Field(gt=0, le=4000, description="Records taken from Kafka at once.")] = (
        1000
    )
    in_flight_records: Annotated[
        int, Field(gt=0, description="Records taken and not yet committed; beyond that none are taken.")
    ] = 4000
    linger_ms: Annotated[
        int,
        Field(
            ge=0,
            description="How long finished events wait for slower ones of the same batch before they are "
            "committed without them.",
        ),
    ] = 5
    remembered_events: Annotated[
        int, Field(ge=0, description="Ids of handled events that are remembered to collapse repeats.")
    ] = 200_000
    event_bytes_max: Annotated[
        int, Field(gt=0, description="Larger events are refused; the brokers' message.max.bytes less 10 %.")
    ] = 900_000
    session_timeout_ms: Annotated[
        int, Field(gt=0, description="After so long without a sign of life Kafka gives the partitions away.")
    ] = 45_000
    transaction_timeout_ms: Annotated[
        int,
        Field(
            gt=0,
            description="After so long Kafka ends the open transaction of a service that stopped. Readers "
            "behind it wait meanwhile.",
        ),
    ] = 10_000
    revoke_grace_ms: Annotated[
        int,
        Field(
            ge=0,
            description="How long a rebalance waits for running handlers; then they are cancelled and their "
            "events go to the new owner.",
        ),
    ] = 1_000
    stop_grace_ms: Annotated[int, Field(ge=0, description="How long SIGTERM waits for running handlers.")] = (
        10_000
    )
    offsets_interval_ms: Annotated[
        int,
        Field(
            gt=0,
            description="How often offsets are committed with which no event or receipt goes: all of an "
            "at-least-once service, and those of records that are not for it.",
        ),
    ] = 200
    span_parent: Annotated[
        bool,
        Field(
            description="Whether the span of a handler continues the trace of its event (true) or starts "
            "its own and links to it (false)."
        ),
    ] = True
    span_continue_max_ms: Annotated[
        int,
        Field(
            ge=0,
            description="A retry that waited longer than this starts a new trace, with a link to its event, "
            "since samplers that judge whole traces have judged the old one by then.",
        ),
    ] = 30_000
