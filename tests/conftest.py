"""What all tests share: one local Apache Kafka, started by the first test that asks for it."""

import os
import signal
from collections.abc import Generator, Iterator

import pytest

from saga.local import JarsUnavailable, LocalKafka

# A shell that runs the tests in the background has its children ignore Ctrl-C, and theirs in turn: but
# Ctrl-C is what several tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHOWN_LINES = 40
LONGEST = "test_tracker.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, or other workers would wait for it at the end."""
    items.sort(key=lambda item: item.path.name != LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a failed test's log only the end: a dead broker fills thousands of lines with one sentence."""
    report = yield
    report.sections = [(name, _end(text)) for name, text in report.sections]
    return report


def _end(text: str) -> str:
    lines = text.splitlines(keepends=True)
    left_out = len(lines) - SHOWN_LINES
    return f"({left_out} lines before)\n" + "".join(lines[-SHOWN_LINES:]) if left_out > 0 else text


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
