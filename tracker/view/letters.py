"""Dead letters that were read from Kafka, as those of the read model are told."""

from msgspec import structs

from tracker.core.dead_letter import gave_up
from tracker.core.redrive import Group, Treatment, to_do
from tracker.view.dead_letters import Standing, Whole
from tracker.view.documents.letter import letter_payload
from tracker.view.documents.moment import moment, timestamp
from tracker.view.documents.payload import PayloadDocument
from tracker.view.known import Known
from tracker.view.queries.dead_letters import LetterGroup, LetterRow

_HIDDEN = "saga_redrive_original"
"""A header that holds a payload, which is for those who may see payloads."""


class LetterDocument(LetterRow, frozen=True, kw_only=True):
    """A dead letter with all that its record has.

    Attributes
    ----------
    key, headers : what is no text in them has replacement characters.
    payload : as the event was published.
    edited : what an operator has put in its place; null if nobody has.
    """

    stack: str
    key: str | None
    headers: list[tuple[str, str | None]]
    payload: PayloadDocument
    edited: PayloadDocument | None


def letter_document(whole: Whole, known: Known, *, unmask: bool = False) -> LetterDocument:
    """All of a letter; its payloads are masked by the schemas of its event, unless they may be seen."""
    treatment = whole.standing.treatment
    edited = b"" if treatment is None else bytes(treatment.payload)
    row = letter_row(whole.standing, len(whole.value or b""))
    return LetterDocument(
        **structs.asdict(row),
        stack=whole.standing.letter.stack,
        key=None if whole.key is None else whole.key.decode(errors="replace"),
        headers=[
            (name, None if value is None else value.decode(errors="replace"))
            for name, value in whole.headers
            if unmask or name != _HIDDEN
        ],
        payload=letter_payload(whole, whole.value, known, unmask=unmask),
        edited=letter_payload(whole, edited, known, unmask=unmask) if edited else None,
    )


def letter_group(group: Group) -> LetterGroup:
    """Letters that have something in common."""
    return LetterGroup(
        group.topic,
        gave_up(group.service, group.topic),
        group.type,
        group.error,
        group.count,
        to_do(group),
        dict(group.states),
        timestamp(group.oldest_ms),
        timestamp(group.newest_ms),
    )


def letter_row(standing: Standing, size: int | None = None) -> LetterRow:
    """One letter, without its payload; `size` is that of the payload, if it is known."""
    letter, stands, treatment = standing
    return LetterRow(
        letter=str(letter.at),
        state=stands,
        family=letter.family,
        given_up=timestamp(letter.at_ms),
        service=gave_up(letter.service, letter.at.topic),
        handler=letter.handler,
        type=letter.type,
        event=letter.event,
        saga=letter.saga,
        error=letter.error,
        message=letter.message,
        attempts=letter.attempts if letter.attempts >= 0 else None,
        replays=letter.replays,
        original=str(letter.original) if letter.original.topic else "",
        size=size,
        done=None if treatment is None else _done(treatment),
        first_failed=moment(letter.first_failed_ms),
        batch=letter.batch,
    )


def _done(treatment: Treatment) -> dict[str, str]:
    return {
        "outcome": treatment.outcome,
        "by": treatment.by,
        "reason": treatment.reason,
        "at": timestamp(treatment.at_ms),
        "batch": treatment.batch,
        "to": treatment.to,
        "edited_by": treatment.edited_by,
    }
