"""The index of deadlines against a plain dictionary, and its cost."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack

from tracker.core.saga import SAGA_VERSION
from tracker.store.deadlines import Deadlines
from tracker.store.heads import heads

SAGAS = st.sampled_from([f"s-{number}" for number in range(6)])
PUTS = st.tuples(st.just("put"), SAGAS, st.integers(-1, 20))
ASKS = st.tuples(st.just("ask"), st.just(""), st.integers(0, 20))


@given(st.lists(PUTS | ASKS, max_size=60))
def test_each_saga_is_given_when_it_is_due_and_in_the_order_of_time(
    steps: list[tuple[str, str, int]],
) -> None:
    deadlines = Deadlines()
    deadlines.open(0)
    model: dict[str, int] = {}
    for step, saga, at_ms in steps:
        if step == "put":
            deadlines.put(0, saga, at_ms)
            model.pop(saga, None)
            if at_ms >= 0:
                model[saga] = at_ms
        else:
            due = {saga: due_ms for saga, due_ms in model.items() if due_ms <= at_ms}
            given_ = list(deadlines.due(0, at_ms))
            assert sorted(given_) == sorted(due)
            assert [due[saga] for saga in given_] == sorted(due.values())
            for saga in due:
                del model[saga]
        assert deadlines.count(0) == len(model)


@given(st.dictionaries(st.text(max_size=5), st.integers(-1, 50)), st.lists(st.binary(max_size=20)))
def test_a_scan_finds_what_the_rows_say_and_is_not_stopped_by_others(
    sagas: dict[str, int], others: list[bytes]
) -> None:
    rows = [
        (saga.encode(), msgpack.encode([SAGA_VERSION, saga, due_ms, -1, {}, None, "more"]))
        for saga, due_ms in sagas.items()
    ]
    odd = [(b"", row) for row in others if not row.startswith(b"\x93")]
    deadlines = Deadlines()
    deadlines.open(0)
    deadlines.scan(0, heads([*odd, *rows]))

    assert set(deadlines.due(0, 100)) == {saga for saga, due_ms in sagas.items() if due_ms >= 0}


def test_a_saga_that_changes_its_deadline_without_end_takes_no_more_room() -> None:
    deadlines = Deadlines()
    deadlines.open(0)
    for at_ms in range(100_000):
        deadlines.put(0, f"s-{at_ms % 10}", at_ms)

    assert deadlines.count(0) == 10
    assert len(deadlines._partitions[0]._heap) < 2_000
    assert len(list(deadlines.due(0, 100_000))) == 10


def test_partitions_that_are_not_open_have_none() -> None:
    deadlines = Deadlines()
    deadlines.put(1, "s-1", 5)
    deadlines.open(0)
    deadlines.put(0, "s-1", 5)
    deadlines.forget()

    assert list(deadlines.due(0, 10)) == list(deadlines.due(1, 10)) == []
    assert deadlines.count(0) == 0
