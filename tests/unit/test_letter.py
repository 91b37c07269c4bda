"""One dead letter: found with the others of its event, and shown without what is sensitive in it."""

from pathlib import Path

import pytest
from msgspec import Raw, structs

from saga.core.delivery import Delivery, dead_letter
from saga.core.envelope import Envelope
from saga.core.receipt import EventSchema, ServiceAnnouncement
from tests.api_client import model_of
from tracker.access.role import Role
from tracker.core.dead_letter import Place, read_letter
from tracker.core.masking import MASK, StillMasked
from tracker.core.redrive import Treatment, encode_treatment
from tracker.dashboard.node import text_of
from tracker.dashboard.pages.letter import letter_body
from tracker.view.dead_letters import Standing, Whole
from tracker.view.documents.letter import WholeLetter, edited_payload, whole_letter
from tracker.view.known import Known
from tracker.view.model.feeds import FeedRecord, set_places, write_feed
from tracker.view.queries.dead_letters import LetterRow, letters_of_event, one_letter

DLQ = "saga.dlq.payments"
CARD = "4242-4242"
VALUE = b'{"amount": 12, "card": "%s"}' % CARD.encode()
SCHEMA = {"properties": {"amount": {"type": "integer"}, "card": {"type": "string", "x-sensitive": True}}}
KNOWN = Known(announcements=(ServiceAnnouncement("shop", [], [], events=[EventSchema("paid", 1, SCHEMA)]),))


def record(offset: int, event: str, original: int, error: str = "the bank is down") -> FeedRecord:
    envelope = Envelope(event, "paid", "shop", "saga-1", 0)
    written = dead_letter(
        "payments",
        "charge",
        Delivery("shop", 0, original),
        TimeoutError(error),
        offset,
        (b"k", VALUE, envelope.headers()),
    )
    return FeedRecord(DLQ, 0, offset, offset, b"k", VALUE, tuple(written.headers))


def whole(treatment: Treatment | None = None) -> Whole:
    headers = record(3, "e-1", 7).headers
    letter = structs.replace(read_letter(headers, Place(DLQ, 0, 3), 3), stack="Traceback: here")
    return Whole(Standing(letter, "waiting", treatment), b"k", VALUE, headers)


def edited(payload: bytes) -> Treatment:
    return Treatment(f"{DLQ}/0/3", "edited", "eva", "typo", 9, payload=Raw(payload), edited_by="eva")


def test_a_letter_is_found_with_the_others_of_its_event(tmp_path: Path) -> None:
    reader = model_of(tmp_path, {})
    done = Treatment(f"{DLQ}/0/0", "redriven", "eva", "mended", 9, to="shop/0/8")
    with reader.engine.begin() as connection:
        set_places(connection, "cluster-1", {(DLQ, 0): 0, ("saga.redrives", 0): 0})
        letters = [record(0, "e-1", 7), record(1, "e-2", 5), record(2, "e-1", 8)]
        write_feed(connection, DLQ, letters, {0: (0, 3)})
        told = FeedRecord("saga.redrives", 0, 0, 9, done.letter.encode(), encode_treatment(done))
        write_feed(connection, "saga.redrives", [told], {0: (0, 1)})

        found = one_letter(connection, Place(DLQ, 0, 2))
        assert found is not None
        assert (found.event, found.original, found.state) == ("e-1", "shop/0/8", "waiting")
        history = letters_of_event(connection, found)
        assert [(each.letter, each.state) for each in history] == [
            (f"{DLQ}/0/0", "redriven"),
            (f"{DLQ}/0/2", "waiting"),
        ]
        assert one_letter(connection, Place(DLQ, 0, 3)) is None
    reader.close()
    reader.engine.dispose()


def test_its_payloads_are_masked_by_the_schema_of_its_event() -> None:
    shown = whole_letter(whole(edited(b'{"amount": 1, "card": "4000"}')), KNOWN)

    assert shown.payload.payload == {"amount": 12, "card": MASK}
    assert shown.edited is not None
    assert shown.edited.payload == {"amount": 1, "card": MASK}
    assert shown.key == "k"
    assert "__streams.errors.stacktrace" not in dict(shown.headers)
    assert whole_letter(whole(), Known()).payload.payload == MASK


@pytest.mark.parametrize(
    ("treatment", "card"), [(None, CARD), (edited(b'{"amount": 1, "card": "4000"}'), "4000")]
)
def test_an_edit_keeps_what_was_masked_of_what_would_be_sent(treatment: Treatment | None, card: str) -> None:
    changed = edited_payload(whole(treatment), KNOWN, {"amount": 13, "card": MASK})

    assert changed == {"amount": 13, "card": card}


def test_nothing_is_kept_of_a_payload_that_nobody_could_see() -> None:
    assert edited_payload(whole(), Known(), {"amount": 13}) == {"amount": 13}
    for payload in (whole(), whole()._replace(value=b"no JSON"), whole()._replace(value=None)):
        with pytest.raises(StillMasked):
            edited_payload(payload, Known(), {"card": MASK})


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        (whole_letter(whole(), KNOWN), '"amount": 12'),
        (whole_letter(whole(), Known()), "No service announces what paid v1 holds."),
        (whole_letter(whole()._replace(value=b"\xff"), KNOWN), "It is no JSON"),
        (whole_letter(whole()._replace(value=None), KNOWN), "the record has a null value"),
        ("Kafka has dropped its record.", "Kafka has dropped its record."),
        (None, "is being read"),
    ],
    ids=["masked", "no schema", "no JSON", "no value", "dropped", "not yet"],
)
def test_the_page_says_what_can_be_shown_of_it(holds: WholeLetter | str | None, said: str) -> None:
    row = LetterRow(
        f"{DLQ}/0/3", "waiting", "saga", "1970-01-01T00:00:00.003Z", "payments", "charge", "paid", "e-1",
        "saga-1", "TimeoutError", "the bank is down", 5, 0, "shop/0/7", len(VALUE),
    )  # fmt: skip

    for role in (Role.VIEWER, Role.OPERATOR):
        told = text_of(letter_body(row, holds, [row], [], role))
        assert said in told
        assert CARD not in told
        may_edit = role is Role.OPERATOR and isinstance(holds, WholeLetter)
        assert ("Give it another payload" in told) == may_edit
        assert ("Leave this event unhandled" in told) == (role is Role.OPERATOR)
