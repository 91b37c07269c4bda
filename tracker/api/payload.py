"""/api/v1/sagas/{id}/events/{event}/payload: read from Kafka, masked by schema.

Only events of sagas can be asked for: their place comes from the saga, never from the request.
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from tracker.access.permit import act, permitted
from tracker.access.role import Role
from tracker.api.answer import answer, answers
from tracker.api.context import Asked, Context
from tracker.api.parameters import TEXT_MAX, SagaId
from tracker.api.problem import Problem
from tracker.core.collect import REASON_LENGTH_MAX
from tracker.core.saga import marked
from tracker.runtime.payload import read_payload
from tracker.view.documents.payload import PayloadDocument, Place, payload_document
from tracker.view.queries.sagas import whole_saga

router = APIRouter(prefix="/sagas/{saga_id}/events/{event_id}/payload", tags=["sagas"])

EventId = Annotated[str, Path(max_length=TEXT_MAX, description="Id of an event of the saga.")]


class Unmask(BaseModel):
    """Why somebody has to see what is masked; it is kept in the audit log."""

    reason: Annotated[str, Field(min_length=1, max_length=REASON_LENGTH_MAX, pattern=r"\S")]


@router.get("", **answers(PayloadDocument, 404, 410, 503))
async def payload(request: Request, context: Asked, saga_id: SagaId, event_id: EventId) -> Response:
    """The payload of an event. What its schema marks as sensitive is masked, and all without a schema."""
    return answer(request, await masked(context, saga_id, event_id))


@router.post(
    "", dependencies=[Depends(permitted(Role.OPERATOR))], **answers(PayloadDocument, 403, 404, 410, 503)
)
async def unmasked(
    request: Request, context: Asked, saga_id: SagaId, event_id: EventId, why: Unmask
) -> Response:
    """The same with nothing masked, for operators who say why. It is recorded before it is shown."""
    told = answer(request, await unmask(request, context, saga_id, event_id, why.reason))
    told.headers["Cache-Control"] = "no-store"
    return told


async def masked(context: Context, saga_id: str, event_id: str) -> PayloadDocument:
    """The payload of an event, for everybody.

    Raises
    ------
    Problem
        There is no such saga, or no such event of it that was read.
    RecordGone, KafkaUnavailable, KafkaError
        Kafka has it no longer, or does not answer.
    """
    place = await _place(context, saga_id, event_id)
    return await _told(context, place, unmask=False)


async def unmask(
    request: Request, context: Context, saga_id: str, event_id: str, reason: str
) -> PayloadDocument:
    """The same with nothing masked, for operators; raises what `act` does as well."""
    place = await _place(context, saga_id, event_id)
    told = await _told(context, place, unmask=True)
    # What can't be read need not be recorded; what is not recorded is not shown.
    await act(request, Role.OPERATOR, "unmask", f"{place.saga}/{place.event}", reason)
    return told


async def _place(context: Context, saga_id: str, event_id: str) -> Place:
    saga = await context.reader.ask(whole_saga, saga_id)
    if saga is None:
        raise Problem(HTTPStatus.NOT_FOUND, "unknown-saga", f"there is no saga {saga_id!r}")
    step = saga.steps.get(event_id) or marked(saga).get(event_id)
    if step is None or step.seen is None:
        raise Problem(
            HTTPStatus.NOT_FOUND, "unknown-event", f"the saga has no event {event_id!r} that was read"
        )
    seen = step.seen
    return Place(saga.id, event_id, seen.type, seen.version, seen.topic, seen.partition, seen.offset)


async def _told(context: Context, place: Place, *, unmask: bool) -> PayloadDocument:
    value, trace = await read_payload(context.settings, place.topic, place.partition, place.offset)
    schemas = context.known().schemas_of(place.type, place.version)
    return payload_document(place, value, schemas, trace=trace, unmask=unmask)
