"""/api/v1/flows: how flows stand, and how their sagas went."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tracker.api.answer import answer, answers
from tracker.api.context import Asked
from tracker.api.parameters import FlowName, Span, Version
from tracker.view.documents.flow import FunnelDocument, MapDocument, VariantsDocument
from tracker.view.queries.flows import (
    FlowsDocument,
    HistoryDocument,
    flow_funnel,
    flow_history,
    flow_map,
    flow_standings,
    flow_variants,
)
from tracker.view.queries.versions import VersionsDocument, flow_versions

VARIANTS_MAX = 1_000

router = APIRouter(prefix="/flows", tags=["flows"])


@router.get("", **answers(FlowsDocument, 503))
async def flows(request: Request, context: Asked) -> Response:
    """Every flow: where its sagas in flight are, and how those of today ended."""
    return answer(request, await context.reader.ask(flow_standings, context.known(), context.now_ms()))


@router.get("/{flow}", **answers(VersionsDocument, 404))
async def versions(request: Request, context: Asked, flow: FlowName) -> Response:
    """The versions of a flow file as they run, the newest first."""
    return answer(request, flow_versions(context.known(), flow))


@router.get("/{flow}/history", **answers(HistoryDocument, 404, 503))
async def history(
    request: Request, context: Asked, flow: FlowName, span: Span, version: Version = None
) -> Response:
    """By the hour how many sagas ended how, how many breached a deadline, and how long they took."""
    return answer(request, await context.reader.ask(flow_history, context.known(), flow, version, *span))


@router.get("/{flow}/funnel", **answers(FunnelDocument, 404, 503))
async def funnel(
    request: Request, context: Asked, flow: FlowName, span: Span, version: Version = None
) -> Response:
    """How far the sagas came that ended in this time, and those in flight."""
    now_ms = context.now_ms()
    asked = context.reader.ask(flow_funnel, context.known(), flow, version, *span, now_ms)
    return answer(request, await asked)


@router.get("/{flow}/map", **answers(MapDocument, 404, 503))
async def map_(
    request: Request, context: Asked, flow: FlowName, span: Span, version: Version = None
) -> Response:
    """What was declared beside what sagas did: events, handlers, what follows from what, and differences."""
    return answer(request, await context.reader.ask(flow_map, context.known(), flow, version, *span))


@router.get("/{flow}/variants", **answers(VariantsDocument, 404, 503))
async def variants(
    request: Request,
    context: Asked,
    flow: FlowName,
    span: Span,
    version: Version = None,
    limit: Annotated[int, Query(ge=1, le=VARIANTS_MAX)] = 20,
) -> Response:
    """The ways that sagas went that ended in this time, the most frequent first."""
    asked = context.reader.ask(flow_variants, context.known(), flow, version, *span, limit)
    return answer(request, await asked)
