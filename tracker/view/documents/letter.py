"""A dead letter with all that its record in Kafka has, as far as it may be shown."""

from msgspec import Struct

from saga.core.envelope import read_envelope
from saga.core.errors import NotAnEvent
from tracker.core.dead_letter import Headers
from tracker.core.masking import unmasked
from tracker.view.dead_letters import Whole
from tracker.view.documents.payload import PayloadDocument, Place, payload_document
from tracker.view.known import Known

_ORIGINAL = "saga_redrive_original"
_STACKS = ("stacktrace", "exception-stack")


class WholeLetter(Struct, frozen=True):
    """What a record of a dead-letter topic holds.

    Attributes
    ----------
    stack : where it failed; "" if that is not told.
    key : of the record; what is no text has replacement characters, as in headers.
    headers : all but the stack, and a payload among them.
    payload : as the event was published, masked by its schema.
    edited : what an operator has put in its place; None if nobody has.
    """

    stack: str
    key: str | None
    headers: tuple[tuple[str, str | None], ...]
    payload: PayloadDocument
    edited: PayloadDocument | None = None


def whole_letter(whole: Whole, known: Known) -> WholeLetter:
    """The letter by the schemas that services announce now."""
    treatment = whole.standing.treatment
    edited = bytes(treatment.payload) if treatment is not None else b""
    headers = [
        (name, None if value is None else value.decode(errors="replace"))
        for name, value in whole.headers
        if name != _ORIGINAL and not name.endswith(_STACKS)
    ]
    return WholeLetter(
        whole.standing.letter.stack,
        None if whole.key is None else whole.key.decode(errors="replace"),
        tuple(headers),
        letter_payload(whole, whole.value, known),
        letter_payload(whole, edited, known) if edited else None,
    )


def edited_payload(whole: Whole, known: Known, changed: object) -> object:
    """What an operator has made of the payload as it is shown; where they left a mask the value stays.

    Raises
    ------
    StillMasked
        A mask stands where none was. The message says where.
    """
    treatment = whole.standing.treatment
    edited = bytes(treatment.payload) if treatment is not None else b""
    shown, full = (
        letter_payload(whole, edited or whole.value, known, unmask=unmask) for unmask in (False, True)
    )
    if shown.form != "json":
        return unmasked(changed, None, None)
    return unmasked(changed, shown.payload, full.payload)


def letter_payload(
    whole: Whole, value: bytes | None, known: Known, *, unmask: bool = False
) -> PayloadDocument:
    """A payload of this letter, as it was published or as it was edited, masked as one of its event."""
    letter = whole.standing.letter
    version = _version(whole.headers)
    place = Place(letter.saga, letter.event, letter.type, version, *letter.at)
    return payload_document(place, value, known.schemas_of(letter.type, version), unmask=unmask)


def _version(headers: Headers) -> int:
    told = [(name, value) for name, value in headers if value is not None]
    try:
        return read_envelope(told, record_time_ms=0).version
    except NotAnEvent:
        return 1
