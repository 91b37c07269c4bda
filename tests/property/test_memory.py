"""The memory of handled events: what it must know, and how much it may hold."""

from hypothesis import given
from hypothesis import strategies as st

from saga.core.memory import Memory


@given(st.integers(1, 6), st.lists(st.integers(0, 30)))
def test_the_newest_keys_are_known_and_never_more_than_twice_as_many(limit: int, added: list[int]) -> None:
    memory = Memory(limit)
    for key in added:
        memory.add(str(key))
        assert str(key) in memory

    newest = list(dict.fromkeys(map(str, reversed(added))))
    assert all(key in memory for key in newest[:limit])
    assert sum(key in memory for key in newest) <= 2 * limit
    assert not any(key in memory for key in newest[2 * limit :])


@given(st.lists(st.integers(0, 3)), st.integers(0, 3))
def test_a_discarded_key_is_unknown_in_both_generations(added: list[int], dropped: int) -> None:
    memory = Memory(2)
    for key in added:
        memory.add(str(key))
    memory.discard(str(dropped))

    assert str(dropped) not in memory


def test_a_memory_of_nothing_knows_nothing() -> None:
    memory = Memory(0)
    memory.add("e-1")

    assert "e-1" not in memory
