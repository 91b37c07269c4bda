"""Cases as an object-centric event log (OCEL 2.0, JSON): sagas and what they are about are its objects.

All values are texts, as the JSON schema of the specification wants them.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec import json

from tracker.core.export.case import Case, Happened, timestamp

_EVENT_ATTRIBUTES = ("id", "source", "cause", "topic")
_SAGA_ATTRIBUTES = ("flow", "status", "key", "truncated")
_SAGA = "saga"
_KEY = "business key"


def ocel(read: Callable[[], Iterable[Case]]) -> Iterator[str]:
    """The pieces of the file. `read` gives the cases and is called twice: events come first, then objects.

    What is kept meanwhile are the names of event types, and of sagas and business keys.
    """
    types: set[str] = set()
    keys: set[str] = set()
    sagas: set[str] = set()
    yield '{"events":[\n'
    separator = ""
    for case in read():
        sagas.add(case.id)
        pieces = []
        for event in case.events:
            types.add(event.type)
            if event.key:
                keys.add(event.key)
            pieces.append(_text(_event(case, event)))
        if pieces:
            yield separator + ",\n".join(pieces)
            separator = ",\n"
    yield '\n],"objects":[\n'
    separator = ""
    for case in read():
        if case.id in sagas:  # what has come between the two is left out
            yield separator + _text(_saga(case, sagas))
            separator = ",\n"
    for key in sorted(keys):
        yield separator + _text({"id": _key_id(key), "type": _KEY, "attributes": [], "relationships": []})
        separator = ",\n"
    yield f'\n],"eventTypes":{_text([_type(name, _EVENT_ATTRIBUTES) for name in sorted(types)])}'
    yield f',"objectTypes":{_text([_type(_SAGA, _SAGA_ATTRIBUTES), _type(_KEY, ())])}}}\n'


def _event(case: Case, event: Happened) -> dict[str, object]:
    about = [{"objectId": _key_id(event.key), "qualifier": "about"}] if event.key else []
    values = (event.id, event.resource, event.cause, event.topic)
    return {
        "id": _event_id(case.id, event.id),
        "type": event.type,
        "time": timestamp(event.at_ms),
        "attributes": [
            {"name": name, "value": value}
            for name, value in zip(_EVENT_ATTRIBUTES, values, strict=True)
            if value
        ],
        "relationships": [{"objectId": _saga_id(case.id), "qualifier": "step of"}, *about],
    }


def _saga(case: Case, sagas: set[str]) -> dict[str, object]:
    time = timestamp(case.began_ms)
    values = (case.flow, case.status, case.key, "true" if case.truncated else "false")
    return {
        "id": _saga_id(case.id),
        "type": _SAGA,
        "attributes": [
            {"name": name, "value": value, "time": time}
            for name, value in zip(_SAGA_ATTRIBUTES, values, strict=True)
            if value
        ],
        "relationships": [{"objectId": _saga_id(case.parent), "qualifier": "begun by"}]
        if case.parent in sagas
        else [],
    }


def _type(name: str, attributes: Iterable[str]) -> dict[str, object]:
    return {"name": name, "attributes": [{"name": attribute, "type": "string"} for attribute in attributes]}


def _saga_id(saga: str) -> str:
    return f"saga:{saga}"


def _key_id(key: str) -> str:
    return f"key:{key}"


def _event_id(saga: str, event: str) -> str:
    """Unique in the log: foreign events may have ids that are unique in their saga alone."""
    return f"{saga.replace('%', '%25').replace('/', '%2F')}/{event}"


def _text(value: object) -> str:
    return json.encode(value).decode()
