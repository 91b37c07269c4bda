"""The local Apache Kafka: the real broker, from Python packages alone."""

from saga.local.broker import LocalKafka
from saga.local.errors import BrokerFailed, FolderInUse, JarsUnavailable, PortTaken

__all__ = [
    "BrokerFailed",
    "FolderInUse",
    "JarsUnavailable",
    "LocalKafka",
    "PortTaken",
]
