"""Orphans: records that no saga was told of, and why. They are read from Kafka, as `saga orphans` does."""

from collections import Counter
from collections.abc import Iterator

from saga.core.errors import SagaError
from saga.runtime.kafka import KafkaError
from tracker.access.role import Role
from tracker.core.words import plural
from tracker.dashboard.desk import LOOK_SECONDS_MAX, Desk
from tracker.dashboard.moment import ago
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.place import Place
from tracker.dashboard.table import chip, live_panel, table
from tracker.view.orphans import REASONS, Orphan, Orphans, read_orphans

LAST = 500
"""Of each partition: everybody who looks shares one reading, but it is read while others are served."""
SHOWN_MAX = 200
KEPT_MS = 10_000
COUNT_KEPT_MS = 300_000
"""The count of the rail is asked for as long as anybody looks at any page, and Kafka shall not notice."""


async def orphans_page(desk: Desk, place: Place, _: Role) -> Page:
    """What was found a moment ago at most; the address may name a topic and a reason."""
    try:
        found = await _look(desk, KEPT_MS, LOOK_SECONDS_MAX)
    except KafkaError:
        nothing = empty("Kafka does not answer", "It is tried again and again.")
        return Page("Orphans", body(head("Orphans"), panel("", nothing)))
    except SagaError as error:
        nothing = empty("The topics can't be read", str(error))
        return Page("Orphans", body(head("Orphans"), panel("", nothing)))
    return Page("Orphans", orphans_body(found, place))


async def orphan_count(desk: Desk) -> int | None:
    """How many there are of what this page looks at; None as long as that is not known."""
    try:
        found = await _look(desk, COUNT_KEPT_MS, wait_seconds=0)
    except (KafkaError, SagaError):
        return None
    return None if found is None else found.counts.total()


async def _look(desk: Desk, kept_ms: int, wait_seconds: float) -> Orphans | None:
    settings = desk.context.settings
    return await desk.look(
        "orphans", kept_ms, lambda: read_orphans(settings, (), LAST, SHOWN_MAX), wait_seconds
    )


def orphans_body(found: Orphans | None, place: Place) -> Node:
    """How many there are of each kind, and the newest; None: they are being read."""
    if found is None:
        return body(head("Orphans"), panel("", empty("The topics are being read", "This takes a moment.")))
    looked = f"{found.counts.total():,} of the last {found.records:,} records belong to no saga"
    return body(
        head("Orphans", h("p", {"class": "numbers"}, looked)),
        _kinds(found, place),
        live_panel(place, *_list(found, place)),
        _older(found),
    )


def _kinds(found: Orphans, place: Place) -> Node | None:
    if not found.counts:
        return None
    topics, reasons = Counter[str](), Counter[str]()
    for (topic, reason), count in found.counts.items():
        topics[topic] += count
        reasons[reason] += count
    return div("", _chips("topic", topics, place), _chips("reason", reasons, place))


def _chips(name: str, counts: Counter[str], place: Place) -> Node:
    chosen = place.asked.get(name, "")
    return div(
        "chips",
        chip(place.but(**{name: None}), f"Any {name}", on=not chosen),
        *(
            chip(
                place.but(**{name: None if each == chosen else each}),
                [REASONS.get(each, each), " ", span("number", f"{count:,}")],
                on=each == chosen,
            )
            for each, count in counts.most_common()
        ),
    )


def _list(found: Orphans, place: Place) -> Iterator[Child]:
    topic, reason = place.asked.get("topic"), place.asked.get("reason")
    shown = [each for each in found.newest if topic in (None, each.topic) and reason in (None, each.reason)]
    if shown:
        yield table(["Written", "Record", "Record key", "Why"], [_row(orphan) for orphan in shown])
        if found.counts.total() > len(found.newest):
            yield h("p", {"class": "soft"}, f"The newest {len(found.newest):,} are listed.")
    elif not found.topics:
        yield empty(
            "No topics are collected yet",
            "A tracker reads the topics that services announce: start one with ",
            h("code", {}, "saga track"),
            ".",
        )
    elif topic or reason:
        yield empty("None of the newest is like that", link("/orphans", "", "Take the filters away"), ".")
    else:
        yield empty(
            "No orphans",
            f"All of the last {plural(found.records, 'record')} of {plural(len(found.topics), 'topic')} "
            "belong to sagas. Nothing has to be done.",
        )


def _row(orphan: Orphan) -> Node:
    place = f"{orphan.topic}/{orphan.partition}/{orphan.offset}"
    return h(
        "tr",
        {"key": place},
        h("td", {"class": "tight"}, ago(orphan.at_ms), " ago"),
        h("td", {"class": "mono tight"}, place),
        h("td", {}, div("cut-text", orphan.key, title=orphan.key) if orphan.key else span("faint", "none")),
        h("td", {"class": "wide-text"}, REASONS.get(orphan.reason, orphan.reason)),
    )


def _older(found: Orphans) -> Node:
    older: list[Child] = []
    if found.older:
        said = f"{plural(found.older, 'older record')} were not looked at: "
        older = [said, h("code", {}, "saga orphans --last 0"), " looks at all. "]
    return h(
        "p",
        {"class": "soft"},
        *older,
        "A correlation rule, in a file beside the flow files, finds the saga of what is no CloudEvent; ",
        h("code", {}, "saga check"),
        " tells whether it is right.",
    )
