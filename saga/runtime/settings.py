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
