"""What all tests share: one local Apache Kafka, started by the first test that asks for it."""

import os
import signal
from collections.abc import Iterator

import pytest

from saga.local import JarsUnavailable, LocalKafka

# A shell that runs the tests in the background has its children ignore Ctrl-C, and theirs in turn: but
# Ctrl-C is what several tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
