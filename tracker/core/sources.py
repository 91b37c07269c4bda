"""Which topics are business topics, and so are read by the collector."""

import re
from collections.abc import Iterable

from saga.core.errors import DeclarationError
from saga.core.receipt import ServiceAnnouncement

_NAMES = re.compile(r"[\w.\-]+(\s*,\s*[\w.\-]+)*", re.ASCII)

_OURS = ("saga.", "saga-tracker-")
_KAFKAS = "__"


class TopicSelection:
    """Topics chosen by hand: names separated by commas, or a regular expression for the whole name.

    Raises
    ------
    DeclarationError
        The expression is none.
    """

    def __init__(self, text: str) -> None:
        self._names: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        if _NAMES.fullmatch(text.strip()):
            self._names = frozenset(name.strip() for name in text.split(","))
        elif text.strip():
            try:
                self._pattern = re.compile(text.strip())
            except re.error as error:
                raise DeclarationError(
                    f"SAGA_TRACKER_TOPICS={text!r} is neither topic names separated by commas nor a "
                    f"regular expression: {error}"
                ) from error

    def __contains__(self, topic: str) -> bool:
        if self._pattern is not None:
            return self._pattern.fullmatch(topic) is not None
        return topic in self._names


def announced_topics(services: Iterable[ServiceAnnouncement]) -> frozenset[str]:
    """All topics that one of the services subscribes to or publishes on."""
    topics = set[str]()
    for service in services:
        topics.update(part.topic for part in service.subscribes)
        topics.update(part.topic for part in service.publishes)
    return frozenset(topics)


def business_topics(
    existing: Iterable[str], announced: Iterable[str], selection: TopicSelection
) -> frozenset[str]:
    """Of the existing topics those that services announced or somebody chose; never ours or Kafka's."""
    wanted = frozenset(announced)
    return frozenset(
        topic
        for topic in existing
        if (topic in wanted or topic in selection)
        and not topic.startswith(_OURS)
        and not topic.startswith(_KAFKAS)
    )
