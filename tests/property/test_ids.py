"""Derived ids: the same for the same run, different for any other."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from saga.core.ids import derived_id

NAMESPACE = uuid.UUID("6f4b1d7a-c01e-4b5f-9a62-d4a1c7f0e835")

handlers = st.from_regex(r"[a-z][a-z0-9-]{0,9}\.[a-z_][a-z0-9_]{0,9}", fullmatch=True)
runs = st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), handlers, st.integers(0, 99))


@given(runs)
def test_a_derived_id_is_the_uuid5_of_cause_handler_and_index(run: tuple[str, str, int]) -> None:
    found = derived_id(*run)

    assert found == str(uuid.uuid5(NAMESPACE, "\0".join(map(str, run))))
    assert uuid.UUID(found).version == 5
    assert uuid.UUID(found).variant == uuid.RFC_4122


@given(st.sets(runs, min_size=2))
def test_different_runs_have_different_ids(different: set[tuple[str, str, int]]) -> None:
    assert len({derived_id(*run) for run in different}) == len(different)


def test_ids_never_change_from_one_release_to_the_next() -> None:
    assert derived_id("e-1", "inventory.reserve", 0) == "9a7a0a4b-03ae-58d1-b683-b7c998327353"
