"""The row of a plain saga is the one that is made of any saga."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from saga.core.receipt import ServiceAnnouncement
from tests.bench import lives
from tests.property.sagas import SAGA_ID, announced, facts
from tracker.core.course import Course, Pause
from tracker.core.flow import Answer, Between, Flow, Flows, Silence
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.saga import decode_saga
from tracker.core.subscriptions import Subscriptions
from tracker.core.way import walk
from tracker.view.known import Known
from tracker.view.model.batch import any_row
from tracker.view.model.plain import plain_fields

FLOW = Flow(
    name="flow",
    version=1,
    begins="x",
    completed=("z",),
    rules=(Between("a", 3, "x", ("y",), 2), Silence("b", 4), Answer("c", 2, "y", "z")),
)
courses = st.none() | st.builds(
    Course,
    flow=st.sampled_from(["", "flow", "other"]),
    flow_version=st.just(1),
    outcome=st.sampled_from(["", "completed", "failed", "cancelled"]),
    ended_ms=st.integers(-1, 5),
    pauses=st.sampled_from([(), (), (Pause(2, "ann", "because"),)]),
)


@given(facts.filter(bool), announced(), courses)
def test_a_plain_row_is_that_of_any_saga(
    told: list[Observation], services: list[ServiceAnnouncement], course: Course | None
) -> None:
    saga = structs.replace(fold(None, SAGA_ID, told), course=course)
    known = Known(Subscriptions(services), Flows((FLOW,)))
    fields = plain_fields(saga, walk(saga, known.undo_words(saga)), known)

    if fields is not None:
        row = any_row(saga, known, "id", 3, 7)
        assert structs.astuple(row) == ("id", *fields, 3, 7)


def test_nearly_all_sagas_are_plain() -> None:
    plain = []
    for life in lives.played():
        for value in life.updates:
            saga = decode_saga(value)
            walked = walk(saga, lives.known().undo_words(saga))
            fields = plain_fields(saga, walked, lives.known())
            plain.append(fields is not None)
            if fields is not None:
                assert structs.astuple(any_row(saga, lives.known(), "id", 0, 0)) == ("id", *fields, 0, 0)
    assert sum(plain) > 0.8 * len(plain)
