"""Event-driven choreography over Kafka, with saga tracking."""

from saga.core.context import Context
from saga.core.errors import (
    DeadLetter,
    DeclarationError,
    KafkaUnavailable,
    SagaError,
    UndeclaredEvent,
)
from saga.core.event import Event, Sensitive
from saga.core.retry import ONCE, Retry
from saga.core.service import Service
from saga.runtime.publisher import Publisher
from saga.runtime.settings import KafkaSettings, ServiceSettings
from saga.runtime.worker import run_service

__all__ = [
    "ONCE",
    "Context",
    "DeadLetter",
    "DeclarationError",
    "Event",
    "KafkaSettings",
    "KafkaUnavailable",
    "Publisher",
    "Retry",
    "SagaError",
    "Sensitive",
    "Service",
    "ServiceSettings",
    "UndeclaredEvent",
    "run_service",
]
