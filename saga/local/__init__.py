"""The local Apache Kafka: the real broker, from Python packages alone."""

from saga.local.broker import LocalKafka
from saga.local.configuration import FULL_SPEED, QUICK_START
from saga.local.errors import BrokerFailed, FolderInUse, JarsUnavailable, PortTaken

__all__ = [
    "FULL_SPEED",
    "QUICK_START",
    "BrokerFailed",
    "FolderInUse",
    "JarsUnavailable",
    "LocalKafka",
    "PortTaken",
]
