"""Logs of any sagas can be read again, whatever texts are in them."""

import csv
import io
import json
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from tests.ocel_schema import check_ocel
from tests.property.sagas import SAGA_ID, facts
from tracker.core.discovery import trace
from tracker.core.export.case import Case, Happened, case_of
from tracker.core.export.csv_log import csv_log
from tracker.core.export.ocel import ocel
from tracker.core.export.xes import xes
from tracker.core.fold import fold
from tracker.core.frame import Observation

# What UTF-8 can hold; ids are never empty.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
ids = texts.filter(bool)
events = st.lists(
    st.builds(Happened, ids, ids, st.integers(-(10**15), 10**15), texts, texts, texts, texts),
    max_size=4,
    unique_by=lambda event: event.id,
).map(tuple)
cases = st.lists(
    st.builds(Case, ids, texts, texts, texts, st.integers(0, 10**15), texts, st.booleans(), events),
    max_size=4,
    unique_by=lambda case: case.id,
)

XES = "{http://www.xes-standard.org/}"


@given(cases)
def test_csv_has_every_event_as_it_was(told: list[Case]) -> None:
    rows = list(csv.DictReader(io.StringIO("".join(csv_log(told)), newline="")))

    assert [(row["case:concept:name"], row["concept:name"], row["event:id"]) for row in rows] == [
        (case.id, event.type, event.id) for case in told for event in case.events
    ]


@given(cases)
def test_xes_is_well_formed_and_has_every_trace(told: list[Case]) -> None:
    log = ElementTree.fromstring("".join(xes(told)))
    traces = log.findall(f"{XES}trace")

    assert [len(found.findall(f"{XES}event")) for found in traces] == [len(case.events) for case in told]
    for found, case in zip(traces, told, strict=True):
        name = found.find(f"{XES}string[@key='concept:name']")
        assert name is not None
        # What XML can hold comes back as it was.
        assert not case.id.isprintable() or name.get("value") == case.id


@given(cases)
def test_ocel_is_as_its_specification_says(told: list[Case]) -> None:
    log = json.loads("".join(ocel(lambda: told)))

    check_ocel(log)
    assert len(log["events"]) == sum(len(case.events) for case in told)
    assert sum(1 for each in log["objects"] if each["type"] == "saga") == len(told)


@given(facts)
def test_the_case_of_a_saga_has_its_trace(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)
    case = case_of(saga, "order", "open", "o-1", 0)

    assert tuple(event.type for event in case.events) == trace(saga).types
