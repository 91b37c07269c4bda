"""What the parts of the tracker, and those who ask and command it, must be allowed to do in Kafka."""

from collections.abc import Collection, Iterable

from saga.core.access import Operation, Right
from saga.core.delivery import DEAD_LETTERS_PREFIX, dead_letter_topic
from saga.core.pause import PAUSED_TOPIC
from saga.core.receipt import RECEIPTS_TOPIC, SERVICES_TOPIC, ServiceAnnouncement
from tracker.core.audit import AUDIT_TOPIC
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.effect import ALERTS_TOPIC, ANSWERS_TOPIC, LIFECYCLE_TOPIC
from tracker.core.flow import Flow
from tracker.core.frame import STEPS_TOPIC
from tracker.core.lag import COLLECTOR_GROUP
from tracker.core.redrive import PARKED_PREFIX, REDRIVES_TOPIC
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, TRACKER_GROUP
from tracker.core.subscriptions import Subscriptions
from tracker.flow.record import FLOWS_TOPIC
from tracker.runtime.redrive_ledger import REDRIVE_TRANSACTIONS
from tracker.runtime.settings import Part
from tracker.runtime.watch import GROUP as WATCH_GROUP

WEBHOOK_GROUPS = "saga-webhooks-"
"""What the groups of all URLs begin with."""


def tracker_rights(part: Part, read: Iterable[str] = (), undone: Iterable[str] = ()) -> tuple[Right, ...]:
    """The least that `saga track` needs, if its topics exist.

    Parameters
    ----------
    read : the business topics.
    undone : those of them that take commands to undo something, and what ends a flow then.
    """
    read = tuple(read)
    both = [
        *_topics("Read", SERVICES_TOPIC, FLOWS_TOPIC),
        *_topics("Write", FLOWS_TOPIC),  # the files of its folder
        *_topics("Describe", STEPS_TOPIC, SAGAS_CHANGELOG_TOPIC, RECEIPTS_TOPIC, COMMANDS_TOPIC),
        *_topics("Describe", LIFECYCLE_TOPIC, ANSWERS_TOPIC, PAUSED_TOPIC),
        *_watch(read),
        Right("topic", DEAD_LETTERS_PREFIX, "Describe", prefixed=True),  # how many there are
    ]
    collector = [
        *_topics("Read", RECEIPTS_TOPIC, COMMANDS_TOPIC, *read),
        *_topics("Write", STEPS_TOPIC),
        Right("group", COLLECTOR_GROUP, "Read"),
    ]
    tracker = [
        *_topics("Read", STEPS_TOPIC, SAGAS_CHANGELOG_TOPIC),
        *_topics("Write", STEPS_TOPIC, SAGAS_CHANGELOG_TOPIC, LIFECYCLE_TOPIC, ANSWERS_TOPIC),
        *_topics("Write", PAUSED_TOPIC, dead_letter_topic("tracker"), *undone),
        Right("group", TRACKER_GROUP, "Read"),
    ]
    return _least(
        [*both, *(collector if part != "tracker" else []), *(tracker if part != "collector" else [])]
    )


def webhook_rights(topics: Iterable[str] = (ALERTS_TOPIC,), read: Iterable[str] = ()) -> tuple[Right, ...]:
    """The least that `saga webhooks` needs, which also watches the tracker."""
    return _least(
        [
            *_topics("Read", *topics),
            *_topics("Write", dead_letter_topic("webhooks")),
            *_watch(tuple(read)),
            Right("group", WEBHOOK_GROUPS, "Read", prefixed=True),
        ]
    )


def viewer_rights() -> tuple[Right, ...]:
    """The least for the commands that only show something of sagas."""
    return _least(
        [
            *_topics("Read", SAGAS_CHANGELOG_TOPIC, SERVICES_TOPIC, FLOWS_TOPIC, STEPS_TOPIC),
            *_topics("Read", RECEIPTS_TOPIC, COMMANDS_TOPIC),
            Right("group", COLLECTOR_GROUP, "Describe"),
            Right("group", TRACKER_GROUP, "Describe"),
        ]
    )


def operator_rights() -> tuple[Right, ...]:
    """The least for those who command the tracker as well: cancel, compensate, retry, and the like."""
    return _least([*viewer_rights(), *_topics("Write", COMMANDS_TOPIC), *_topics("Read", ANSWERS_TOPIC)])


def redrive_rights(redriven: Iterable[str] = ()) -> tuple[Right, ...]:
    """The least for those who redrive dead letters to these topics: `saga dlq`."""
    return _least(
        [
            *_topics("Read", SERVICES_TOPIC, RECEIPTS_TOPIC, REDRIVES_TOPIC),
            Right("topic", DEAD_LETTERS_PREFIX, "Read", prefixed=True),
            *_topics("Write", REDRIVES_TOPIC, *redriven),
            Right("topic", PARKED_PREFIX, "Write", prefixed=True),
            Right("transactional-id", REDRIVE_TRANSACTIONS, "Write", prefixed=True),
        ]
    )


def projector_rights(read: Iterable[str] = ()) -> tuple[Right, ...]:
    """The least for `saga project`, which also asks how far the tracker is with these business topics."""
    return _least(
        [
            *_topics("Read", RECEIPTS_TOPIC, STEPS_TOPIC, *read),
            Right("group", COLLECTOR_GROUP, "Describe"),
            Right("group", TRACKER_GROUP, "Describe"),
            *_topics("Read", SAGAS_CHANGELOG_TOPIC, SERVICES_TOPIC, FLOWS_TOPIC, ALERTS_TOPIC),
            *_topics("Read", COMMANDS_TOPIC, ANSWERS_TOPIC, AUDIT_TOPIC, REDRIVES_TOPIC),
            *_topics("Write", ALERTS_TOPIC),  # where sagas stand still
            Right("topic", DEAD_LETTERS_PREFIX, "Read", prefixed=True),
        ]
    )


def dashboard_rights(read: Iterable[str] = ()) -> tuple[Right, ...]:
    """The least for `saga dashboard`, which shows payloads of business topics and takes commands."""
    read = tuple(read)
    return _least(
        [
            *operator_rights(),
            *projector_rights(read),
            *redrive_rights(read),
            *_topics("Write", AUDIT_TOPIC),
        ]
    )


def undo_topics(flows: Iterable[Flow], services: Iterable[ServiceAnnouncement]) -> tuple[str, ...]:
    """The topics of what the tracker publishes for these flows, as far as the services announce them."""
    subscriptions = Subscriptions(services)
    types = set[str]()
    for flow in flows:
        types.update(undo.command.type for undo in flow.undoes.values())
        if flow.compensation.then is not None:
            types.add(flow.compensation.then.type)
    return tuple(sorted({subscriptions.topic_of(name) for name in types} - {""}))


def _watch(read: Collection[str]) -> list[Right]:
    """To watch how far the tracker has fallen behind, and to tell of it."""
    return [
        *_topics("Read", SERVICES_TOPIC, RECEIPTS_TOPIC, COMMANDS_TOPIC, STEPS_TOPIC, *read),
        *_topics("Write", ALERTS_TOPIC),
        Right("group", WATCH_GROUP, "Read"),
        Right("group", COLLECTOR_GROUP, "Describe"),
        Right("group", TRACKER_GROUP, "Describe"),
    ]


def _topics(operation: Operation, *names: str) -> list[Right]:
    return [Right("topic", name, operation) for name in names]


def _least(rights: Iterable[Right]) -> tuple[Right, ...]:
    """Each right once, and none that another one implies."""
    wanted = dict.fromkeys(rights)
    more = {(right.resource, right.name) for right in wanted if right.operation in ("Read", "Write")}
    return tuple(
        right for right in wanted if right.operation != "Describe" or (right.resource, right.name) not in more
    )
