"""What all tests share: one local Apache Kafka, started by the first test that asks for it."""

import os
from collections.abc import Iterator

import pytest

from saga.local import JarsUnavailable, LocalKafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """A real broker with an empty data folder. Topics are the test's own: give them unique names."""
    broker = LocalKafka()
    try:
        broker.start()
    except JarsUnavailable as error:
        # CI must never pass for lack of a broker; a laptop without network may run the rest.
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the local Apache Kafka: {error}")
        pytest.skip(f"the local Apache Kafka can't be had: {error}")
    with broker:
        yield broker


@pytest.fixture(scope="session")
def bootstrap_servers(kafka: LocalKafka) -> str:
    return kafka.bootstrap_servers
