"""Sagas in memory: none is forgotten before it is on disk."""

from tests.facts import event
from tracker.core.fold import fold
from tracker.core.saga import Saga
from tracker.store.cache import UNKNOWN, SagaCache


def saga(saga_id: str, events: int = 1) -> Saga:
    return fold(None, saga_id, [event(f"{saga_id}-{number}", "any") for number in range(events)])


def test_dirty_sagas_are_kept_however_little_room_there_is() -> None:
    cache = SagaCache(clean_max=0)
    cache.put_dirty(0, "a", saga("a"))

    assert cache.get(0, "a") == saga("a")
    assert cache.take_dirty() == {0: {"a": saga("a")}}
    assert cache.get(0, "a") == saga("a")

    cache.written()
    assert cache.get(0, "a") is UNKNOWN


def test_a_saga_that_changes_while_it_is_written_is_written_again() -> None:
    cache = SagaCache(clean_max=10)
    cache.put_dirty(0, "a", saga("a", 1))
    cache.take_dirty()
    cache.put_dirty(0, "a", saga("a", 2))
    cache.written()

    assert cache.get(0, "a") == saga("a", 2)
    assert cache.dirty_count == 1
    assert cache.take_dirty() == {0: {"a": saga("a", 2)}}


def test_of_the_clean_ones_those_used_last_are_kept() -> None:
    cache = SagaCache(clean_max=2)
    for saga_id in ("a", "b", "a", "c"):
        cache.put_clean(saga(saga_id))

    assert [saga_id for saga_id in "abc" if cache.get(0, saga_id) is not UNKNOWN] == ["a", "c"]


def test_a_changed_saga_counts_once() -> None:
    cache = SagaCache(clean_max=2)
    cache.put_clean(saga("a"))
    for events in (2, 3):
        cache.put_dirty(0, "a", saga("a", events))

    assert cache.dirty_count == 1
    cache.clear()
    assert cache.dirty_count == 0
    assert cache.get(0, "a") is UNKNOWN


def test_one_that_has_left_is_known_to_have_left_until_the_disk_knows_it() -> None:
    cache = SagaCache(clean_max=2)
    cache.put_clean(saga("a"))
    cache.put_dirty(0, "a", None)
    assert cache.get(0, "a") is None
    assert cache.take_dirty() == {0: {"a": None}}
    assert cache.get(0, "a") is None
    cache.written()

    assert cache.get(0, "a") is UNKNOWN


def test_a_saga_of_many_steps_takes_the_room_of_others() -> None:
    cache = SagaCache(clean_max=10)
    cache.put_dirty(0, "large", saga("large", 100))
    assert cache.dirty_count == 7
    cache.take_dirty()
    cache.written()
    for number in range(4):
        cache.put_clean(saga(f"s-{number}"))

    assert cache.get(0, "large") is UNKNOWN
    assert cache.get(0, "s-0") == saga("s-0")
