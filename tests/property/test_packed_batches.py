"""What another process makes of records is what this one would have made of them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from saga.core.receipt import EventSchema, ServiceAnnouncement
from tests.bench import lives
from tests.property.sagas import SAGA_ID, announced, facts, names
from tracker.core.clock import CLOCK_ROW
from tracker.core.course import Course
from tracker.core.fold import fold
from tracker.core.saga import Joins, Link, encode_saga
from tracker.core.subscriptions import Subscriptions
from tracker.view.known import Known
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.packed import (
    pack_batch,
    pack_known,
    pack_records,
    unpack_batch,
    unpack_known,
    unpack_records,
)

schemas = st.lists(st.builds(EventSchema, names, st.just(1), st.just({"title": "T"})), max_size=1)
courses = st.none() | st.builds(
    Course,
    flow=st.sampled_from(["", "order", "other"]),
    flow_version=st.just(1),
    outcome=st.sampled_from(["", "completed", "failed", "cancelled"]),
    ended_ms=st.integers(-1, 10**12),
)
folded = st.builds(
    lambda told, course: encode_saga(structs.replace(fold(None, SAGA_ID, told), course=course)),
    facts.filter(bool),
    courses,
)
played = st.sampled_from([value for life in lives.played()[:20] for value in life.updates])
part = encode_saga(structs.replace(fold(None, SAGA_ID, []), joins=Joins((Link(0, "whole"),))))
values = folded | played | st.sampled_from([None, b"", b"\xc1", part])
keys = st.sampled_from([b"a", b"b", b"c\0", b"\xff", CLOCK_ROW.encode()]) | st.binary(max_size=3)


@settings(max_examples=40)  # flows are parsed for each
@given(st.lists(st.tuples(keys, values), max_size=8), announced(events=schemas))
def test_a_batch_comes_out_as_it_went_in(
    told: list[tuple[bytes, bytes | None]], services: list[ServiceAnnouncement]
) -> None:
    known = Known(Subscriptions(services), lives.known().flows, tuple(services))
    records = [Record(offset % 3, offset, key, value) for offset, (key, value) in enumerate(told)]
    expected = batch_of(records, known)

    asked = unpack_records(pack_records(records))
    answer = pack_batch(batch_of(asked, unpack_known(pack_known(known))), asked)
    assert unpack_batch(answer, records, known) == expected


def test_what_sagas_are_read_by_comes_out_as_it_went_in() -> None:
    known = unpack_known(pack_known(lives.known()))
    assert known.same(lives.known())
    assert known.digest() == lives.known().digest()
    assert known.announcements == lives.known().announcements
