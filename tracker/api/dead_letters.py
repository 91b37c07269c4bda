"""/api/v1/dead-letters: what services gave up. They are redriven by a job (/api/v1/jobs)."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Struct, json
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.responses import Response

from tracker.access.permit import act, permitted
from tracker.access.role import Role
from tracker.api.answer import answer, answers
from tracker.api.context import Asked, Context
from tracker.api.problem import Problem
from tracker.core.collect import REASON_LENGTH_MAX
from tracker.core.dead_letter import Place
from tracker.core.masking import StillMasked
from tracker.core.redrive import State, Treatment, UnusableEdit
from tracker.runtime.letter import RedriveRefused, discard_letter, edit_letter
from tracker.view.dead_letters import NoSuchLetter, Whole, read_whole_letter
from tracker.view.documents.letter import edited_payload
from tracker.view.letters import LetterDocument, letter_document
from tracker.view.queries.dead_letters import (
    LetterGroups,
    LetterPage,
    WantedLetters,
    find_letters,
    letter_groups,
    one_letter,
)

TEXT_MAX = 500
router = APIRouter(prefix="/dead-letters", tags=["dead letters"])
_operator = Depends(permitted(Role.OPERATOR))

Text = Annotated[str | None, Query(max_length=TEXT_MAX)]


def wanted_letters(
    topic: Text = None,
    service: Text = None,
    event_type: Annotated[str | None, Query(alias="type", max_length=TEXT_MAX)] = None,
    error: Text = None,
    state: State | None = None,
    saga: Text = None,
) -> WantedLetters:
    """What a letter must be to be found, from the parameters of a request."""
    return WantedLetters(topic, service, event_type, error, state, saga)


def place_of(
    topic: Annotated[str, Path(max_length=TEXT_MAX)],
    partition: Annotated[int, Path(ge=0, lt=2**31)],
    offset: Annotated[int, Path(ge=0, lt=2**63)],
) -> Place:
    """Where the letter of a request stands."""
    return Place(topic, partition, offset)


Wanted = Annotated[WantedLetters, Depends(wanted_letters)]
At = Annotated[Place, Depends(place_of)]


class TreatmentDocument(Struct, frozen=True):
    """What was done about a letter."""

    letter: str
    outcome: str
    by: str
    reason: str


class Reason(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    reason: Annotated[str, Field(min_length=1, max_length=REASON_LENGTH_MAX, pattern=r"\S")]


class Edit(Reason):
    """Another payload for a letter: any JSON."""

    payload: JsonValue


@router.get("/groups", **answers(LetterGroups, 503))
async def groups(request: Request, context: Asked, wanted: Wanted) -> Response:
    """Dead letters by topic, service, event type and error, those with most to do first."""
    return answer(request, await context.reader.ask(letter_groups, wanted))


@router.get("", **answers(LetterPage, 400, 503))
async def letters(
    request: Request,
    context: Asked,
    wanted: Wanted,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[str | None, Query(max_length=1_000, description="`next` of the page before.")] = None,
) -> Response:
    """Dead letters, the newest first, a page at a time."""
    return answer(request, await context.reader.ask(find_letters, wanted, limit, after))


@router.get("/{topic}/{partition}/{offset}", **answers(LetterDocument, 404, 503))
async def one(request: Request, context: Asked, at: At) -> Response:
    """One letter, read from Kafka; its payload as far as the schema of its event has nothing sensitive."""
    whole = await _whole(context, at)
    return answer(request, letter_document(whole, context.known()))


@router.post(
    "/{topic}/{partition}/{offset}/payload",
    **answers(LetterDocument, 403, 404, 503),
    dependencies=[_operator],
)
async def unmasked(request: Request, context: Asked, at: At, body: Reason) -> Response:
    """The same with nothing masked, for operators who say why. It is recorded before it is shown."""
    whole = await _whole(context, at)
    await act(request, Role.OPERATOR, "unmask", str(at), body.reason)
    told = answer(request, letter_document(whole, context.known(), unmask=True))
    told.headers["Cache-Control"] = "no-store"
    return told


@router.post(
    "/{topic}/{partition}/{offset}/edit",
    **answers(TreatmentDocument, 403, 404, 409, 503),
    dependencies=[_operator],
)
async def edit(request: Request, context: Asked, at: At, body: Edit) -> Response:
    """Give a letter another payload, with which it is redriven then. What is a mask in it stays as it was."""
    await permitted(Role.OPERATOR)(request)
    whole = await _whole(context, at)
    try:
        payload = json.encode(edited_payload(whole, context.known(), body.payload))
        who = await act(request, Role.OPERATOR, "letter.edit", str(at), body.reason)
        done = await edit_letter(context.settings, at, payload, who.name, body.reason)
    except (StillMasked, UnusableEdit) as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unusable-edit", str(error)) from error
    except RedriveRefused as error:
        raise Problem(HTTPStatus.CONFLICT, "refused", str(error)) from error
    return answer(request, _document(done))


@router.post(
    "/{topic}/{partition}/{offset}/discard",
    **answers(TreatmentDocument, 403, 409, 503),
    dependencies=[_operator],
)
async def discard(request: Request, context: Asked, at: At, body: Reason) -> Response:
    """Say that a letter is not to be redriven."""
    who = await act(request, Role.OPERATOR, "letter.discard", str(at), body.reason)
    try:
        done = await discard_letter(context.settings, at, who.name, body.reason)
    except RedriveRefused as error:
        raise Problem(HTTPStatus.CONFLICT, "refused", str(error)) from error
    return answer(request, _document(done))


async def _whole(context: Context, at: Place) -> Whole:
    try:
        whole = await read_whole_letter(context.settings, at)
    except NoSuchLetter as error:
        raise Problem(HTTPStatus.NOT_FOUND, "unknown-letter", str(error)) from error
    # That it has failed again only all letters together tell.
    known = await context.reader.ask(one_letter, at)
    if known is None or known.state != "failed-again":
        return whole
    return whole._replace(standing=whole.standing._replace(state="failed-again"))


def _document(done: Treatment) -> TreatmentDocument:
    return TreatmentDocument(done.letter, done.outcome, done.by, done.reason)
