"""From a record to its handler, or the reason why there is none."""

import pytest

from saga import Event, Service
from saga.core.envelope import Envelope
from saga.core.errors import NotAnEvent, SchemaViolation
from saga.core.reading import Addressed, Reader, Unaddressed


class PageRead(Event, topic="pages", type="page.read", version=2):
    number: int


class PageReadBefore(Event, topic="pages", type="page.read", version=1):
    number: str


class PageTorn(Event, topic="pages", type="page.torn"):
    pass


def reader() -> Reader:
    service = Service("library")

    @service.on(PageRead)
    async def read(page: PageRead) -> None:
        return None

    return Reader(service)


def headers(event_type: str, version: int = 1) -> list[tuple[str, bytes]]:
    return Envelope("e-1", event_type, "reader", "saga-1", 5, None, version).headers()


def test_a_record_is_for_the_handler_of_its_type_and_version() -> None:
    found = reader().read(headers("page.read", 2), b'{"number": 7}', 0)

    assert isinstance(found, Addressed)
    assert found.handler.name == "read"
    assert found.envelope.id == "e-1"
    assert found.event() == PageRead(number=7)


def test_data_that_is_missing_or_does_not_fit_is_a_schema_violation() -> None:
    for data in (None, b"", b'{"number": "seven"}'):
        found = reader().read(headers("page.read", 2), data, 0)
        assert isinstance(found, Addressed)
        with pytest.raises(SchemaViolation, match=r"page\.read"):
            found.event()


@pytest.mark.parametrize(("event_type", "version"), [("page.torn", 1), ("page.read", 1)])
def test_a_known_event_without_a_handler_is_nobodys_fault(event_type: str, version: int) -> None:
    found = reader().read(headers(event_type, version), b"{}", 0)

    assert isinstance(found, Unaddressed)
    assert found.unknown is None


@pytest.mark.parametrize(
    ("event_type", "version", "reason"),
    [
        ("page.burnt", 1, "no event class declares the type 'page.burnt'"),
        ("page.read", 9, r"page\.read version 9 is not declared, only 1, 2"),
    ],
)
def test_an_event_that_nobody_declares_is_explained(event_type: str, version: int, reason: str) -> None:
    found = reader().read(headers(event_type, version), b"{}", 0)

    assert isinstance(found, Unaddressed)
    with pytest.raises(Exception, match=reason):
        raise found.unknown or AssertionError


def test_known_types_of_others_need_not_even_be_read() -> None:
    found = reader()

    assert found.not_for_us(headers("page.torn"))
    assert not found.not_for_us(headers("page.read", 1))  # handled in another version
    assert not found.not_for_us(headers("page.burnt"))
    assert not found.not_for_us([])
    assert not found.not_for_us([("ce_type", None)])


def test_the_structured_mode_is_read_as_well() -> None:
    value = (
        b'{"specversion": "1.0", "id": "e-1", "source": "reader", "type": "page.read",'
        b' "dataschema": "urn:saga:event:page.read:2", "data": {"number": 7}}'
    )
    found = reader().read([("content-type", b"application/cloudevents+json")], value, 5)

    assert isinstance(found, Addressed)
    assert found.event() == PageRead(number=7)
    assert found.envelope == Envelope("e-1", "page.read", "reader", "e-1", 5, None, 2)


@pytest.mark.parametrize("value", [None, b"", b"{}"])
def test_a_structured_record_without_an_event_is_none(value: bytes | None) -> None:
    with pytest.raises(NotAnEvent):
        reader().read([("content-type", b"application/cloudevents+json")], value, 5)
