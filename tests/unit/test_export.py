"""Logs for process mining: what stands where."""

import json

from tests.facts import event
from tracker.core.export.case import case_of
from tracker.core.export.csv_log import csv_log
from tracker.core.export.ocel import ocel
from tracker.core.export.xes import xes
from tracker.core.fold import fold

SAGA = fold(None, "s/1", [event("b", "part", after_ms=5, cause="a"), event("a", "begun & <gone>")])
CASE = case_of(SAGA, "order", "open", "o-1", 0)


def test_csv_names_its_columns_as_xes_does() -> None:
    head, first, second, end = "".join(csv_log([CASE])).split("\r\n")

    assert head.startswith("case:concept:name,concept:name,time:timestamp,lifecycle:transition,org:resource,")
    assert first.startswith("s/1,begun & <gone>,")
    assert "Z,complete," in first
    assert second.startswith("s/1,part,")
    assert end == ""


def test_xes_escapes_and_replaces_what_xml_can_not_hold() -> None:
    text = "".join(xes([case_of(fold(None, "s\x00\n", [event("a", 'say "&"')]), "", "", "", 0)]))

    assert '<string key="concept:name" value="s\ufffd&#10;"/>' in text
    assert """<string key="concept:name" value='say "&amp;"'/>""" in text
    assert 'key="flow"' not in text


def test_ocel_relates_events_to_their_saga_and_business_key() -> None:
    log = json.loads("".join(ocel(lambda: [CASE])))
    first, second = log["events"]

    assert (first["id"], first["type"]) == ("s%2F1/a", "begun & <gone>")
    assert first["relationships"][0] == {"objectId": "saga:s/1", "qualifier": "step of"}
    assert {"name": "cause", "value": "a"} in second["attributes"]
    saga = next(each for each in log["objects"] if each["type"] == "saga")
    assert {"name": "status", "value": "open", "time": "1970-01-01T00:00:00.000Z"} in saga["attributes"]
