"""What can go wrong with the local Apache Kafka; each message names the way out."""

from saga.core.errors import LocalKafkaError


class JarsUnavailable(LocalKafkaError):
    """Apache Kafka's jars are not in the cache and can't be downloaded."""


class FolderInUse(LocalKafkaError):
    """Another running broker owns the data folder. Stop it, or choose another folder."""


class PortTaken(LocalKafkaError):
    """Another process listens on the port that was asked for. Stop it, or choose another port."""


class BrokerFailed(LocalKafkaError):
    """The broker ended, or did not answer in time. The message holds the end of its log."""
