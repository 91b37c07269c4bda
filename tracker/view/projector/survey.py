"""What there is in Kafka for the read model: which cluster, which topics, what sagas are read by."""

from typing import NamedTuple

from saga.runtime.kafka import TopicPartition, admin
from saga.runtime.settings import KafkaSettings
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.view.known import Known, read_known
from tracker.view.model.feeds import feed_topics


class Survey(NamedTuple):
    """What was found.

    Attributes
    ----------
    cluster : the id that Kafka has given it.
    counts : by topic the number of its partitions.
    """

    cluster: str
    counts: dict[str, int]
    known: Known

    @property
    def partitions(self) -> list[TopicPartition]:
        return [TopicPartition(topic, n) for topic, count in self.counts.items() for n in range(count)]

    def same_topics(self, other: "Survey") -> bool:
        """Whether there is the same to be read."""
        return (self.cluster, self.counts) == (other.cluster, other.counts)


async def survey(settings: KafkaSettings) -> Survey:
    """Look at what is there now.

    Raises
    ------
    KafkaError
        No broker answers.
    """
    known = await read_known(settings)
    async with admin(settings) as client:
        cluster = str((await client.describe_cluster())["cluster_id"])
        existing = await client.list_topics()
        wanted = feed_topics(existing)
        if SAGAS_CHANGELOG_TOPIC in existing:
            wanted.append(SAGAS_CHANGELOG_TOPIC)
        described = await client.describe_topics(wanted) if wanted else []
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}
    return Survey(cluster, dict(sorted(counts.items())), known)
