"""/api/v1/services and /api/v1/events: who handles what, how well, and who is hit by a change."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from tracker.api.answer import answer, answers
from tracker.api.context import Asked
from tracker.api.parameters import TEXT_MAX, Span
from tracker.view.queries.services import (
    EventTypeDocument,
    EventTypesDocument,
    ServicesDocument,
    event_type,
    event_types,
    service_documents,
)

router = APIRouter(tags=["services"])


@router.get("/services", **answers(ServicesDocument, 503))
async def services(request: Request, context: Asked, span: Span) -> Response:
    """Every service: what it handles and publishes, how fast its handlers are, and how often they fail."""
    return answer(request, await context.reader.ask(service_documents, context.known(), *span))


@router.get("/services/{service}", **answers(ServicesDocument, 404, 503))
async def service(
    request: Request, context: Asked, span: Span, service: Annotated[str, Path(max_length=TEXT_MAX)]
) -> Response:
    """The same of one service."""
    return answer(request, await context.reader.ask(service_documents, context.known(), *span, service))


@router.get("/events", **answers(EventTypesDocument))
async def events(request: Request, context: Asked) -> Response:
    """Every event type that a service or a flow file names."""
    return answer(request, event_types(context.known()))


@router.get("/events/{type}", **answers(EventTypeDocument, 404, 503))
async def event(
    request: Request, context: Asked, span: Span, type: Annotated[str, Path(max_length=TEXT_MAX)]
) -> Response:
    """Who publishes and who handles events of a type, which flows name it: who is hit if it changes."""
    return answer(request, await context.reader.ask(event_type, context.known(), type, *span))
