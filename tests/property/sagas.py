"""Facts at random, with everything that goes wrong: duplicates, copies, unknown causes, two parents."""

from typing import Any

from hypothesis import strategies as st

from saga.core.receipt import Failure, Publication, ServiceAnnouncement, Subscription
from tracker.core.frame import ChildBegun, EventSeen, Observation, ReceiptSeen

SAGA_ID = "saga-1"

# Few values, so that facts collide: the same event twice, a receipt for a read event, a circle.
ids = st.sampled_from([SAGA_ID, "a", "b", "c", "d", "e"])
names = st.sampled_from(["x", "y", "z"])
times_ms = st.integers(0, 5)
numbers = st.integers(0, 3)
durations_ms = st.sampled_from([0.0, -0.0, 1.5, -1.0, 1e300, float("inf"), float("nan")])

events: st.SearchStrategy[Observation] = st.builds(
    EventSeen,
    id=ids,
    type=names,
    source=names,
    topic=names,
    partition=numbers,
    offset=numbers,
    time_ms=times_ms,
    cause=st.none() | ids | st.just("elsewhere"),
    key=st.none() | ids,
    version=numbers,
    parent=st.none() | st.sampled_from(["parent", "stepparent"]),
)
children: st.SearchStrategy[Observation] = st.builds(
    ChildBegun, child=names, type=names, event=ids | st.just(""), at_ms=times_ms
)
receipts: st.SearchStrategy[Observation] = st.builds(
    ReceiptSeen,
    event=ids,
    service=names,
    instance=names,
    handler=names,
    outcome=st.sampled_from(["handled", "retrying", "dead-lettered", "ignored"]),
    at_ms=times_ms,
    duration_ms=durations_ms,
    attempt=numbers,
    failure=st.none() | st.builds(Failure, type=names, message=names),
    retry_at_ms=st.none() | times_ms,
)
facts = st.lists(events | receipts | children, max_size=30)


def announced(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[list[ServiceAnnouncement]]:
    """Services that handle and publish what there is at random; `more` are fields that they have besides."""
    return st.lists(
        st.builds(
            ServiceAnnouncement,
            names,
            st.lists(st.builds(Subscription, names, st.just("t"), names, st.booleans()), max_size=3),
            st.lists(st.builds(Publication, names, st.just("t"), st.just("") | names), max_size=3),
            **more,
        ),
        max_size=3,
    )
