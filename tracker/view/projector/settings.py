"""Settings of the projector from the environment: each field is a variable SAGA_<NAME>."""

from typing import Annotated

from pydantic import Field

from saga.runtime.settings import KafkaSettings


class ProjectorSettings(KafkaSettings):
    """How `saga project` runs, and the projector in `saga dashboard`."""

    database: Annotated[
        str,
        Field(
            description="URL of the database of the read model: a SQLite file, or PostgreSQL "
            "(postgresql+psycopg://user:password@host/database)."
        ),
    ] = "sqlite:///data/sagas.db"
    project_interval_ms: Annotated[
        int, Field(gt=0, description="Under light load what came is written this often.")
    ] = 100
    project_records: Annotated[
        int, Field(gt=0, description="Records that are written in one transaction at most.")
    ] = 10_000
    project_topics_ms: Annotated[
        int,
        Field(
            gt=0,
            description="How often it looks for new topics, and for other flows and services than before.",
        ),
    ] = 5_000
    alert_days: Annotated[
        float,
        Field(gt=0, description="How long alerts, commands and their answers are kept in the database."),
    ] = 90.0
    audit_days: Annotated[
        float, Field(gt=0, description="How long the audit log is kept in the database.")
    ] = 400.0
    standstill_after_ms: Annotated[
        int,
        Field(
            ge=0,
            description="Sagas that are stuck at the same place of their flow for so long are told of on "
            "saga.alerts, once for the place; 0: nothing is told.",
        ),
    ] = 30_000
    metrics_host: Annotated[str, Field(description="Address that metrics are served at.")] = "127.0.0.1"
    metrics_port: Annotated[
        int,
        Field(
            ge=0,
            le=65_535,
            description="Port of /metrics, /healthz and /readyz, another one than that of a tracker on the "
            "same machine; 0: none.",
        ),
    ] = 0
