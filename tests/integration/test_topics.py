"""Topics that are made when they are missing."""

import uuid

import pytest

from saga.core.errors import KafkaUnavailable
from saga.runtime.kafka import Topic, ensure_topics, partition_counts
from saga.runtime.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(60)]


@pytest.fixture
def name() -> str:
    return f"topics-{uuid.uuid4().hex[:8]}"


async def test_topics_are_there_when_it_returns_and_those_that_are_stay_as_they_are(
    bootstrap_servers: str, name: str
) -> None:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers, topic_partitions=3)
    for partitions in (2, 5):
        await ensure_topics(settings, [Topic(name, partitions), Topic(f"{name}-default")])

        counts = await partition_counts(settings, [name, f"{name}-default", f"{name}-none"])
        assert counts == {name: 2, f"{name}-default": 3}


async def test_more_replicas_than_brokers_are_waited_for_and_then_refused_in_kafkas_words(
    bootstrap_servers: str, name: str
) -> None:
    """A cluster that comes up has too few brokers for a moment: a service begins all the same."""
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers, topic_replicas=3, connect_timeout_seconds=1)
    with pytest.raises(KafkaUnavailable, match=f"{name} can't be made: Invalid.*only 1 broker") as refused:
        await ensure_topics(settings, [Topic(name)])
    assert "Make it by hand" in str(refused.value)


async def test_what_no_wait_will_mend_is_refused_at_once(bootstrap_servers: str) -> None:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers, connect_timeout_seconds=50)
    with pytest.raises(KafkaUnavailable, match="a topic/1 can't be made: InvalidTopicError"):
        await ensure_topics(settings, [Topic("a topic/1")])
