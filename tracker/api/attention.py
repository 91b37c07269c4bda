"""/api/v1/at-risk, /stuck, /watch and /named: sagas that somebody looks at, or for."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tracker.api.answer import answer, answers
from tracker.api.context import Asked
from tracker.api.parameters import TEXT_MAX, Limit
from tracker.view.documents.watch import WatchDocument
from tracker.view.queries.attention import SagaList, risk_list, stuck_list
from tracker.view.queries.named import NamedSagas, named_sagas
from tracker.view.queries.watch import watch_picture

OLDEST_MAX = 200

router = APIRouter(tags=["sagas"])

Flow = Annotated[str | None, Query(max_length=TEXT_MAX, description="Only of this flow or first event.")]


@router.get("/at-risk", **answers(SagaList, 503))
async def at_risk(request: Request, context: Asked, flow: Flow = None, limit: Limit = 50) -> Response:
    """Sagas that are likely to breach a deadline, were warned of it, or have; the likeliest first."""
    now_ms = context.now_ms()
    return answer(request, await context.reader.ask(risk_list, context.known(), flow, limit, now_ms))


@router.get("/stuck", **answers(SagaList, 503))
async def stuck(request: Request, context: Asked, flow: Flow = None, limit: Limit = 50) -> Response:
    """Sagas that wait much longer than others did, or for an operator; the longest wait first."""
    now_ms = context.now_ms()
    return answer(request, await context.reader.ask(stuck_list, context.known(), flow, limit, now_ms))


@router.get("/watch", **answers(WatchDocument, 503))
async def watch(
    request: Request, context: Asked, oldest: Annotated[int, Query(ge=0, le=OLDEST_MAX)] = 20
) -> Response:
    """How many sagas of each flow are where, and the oldest of those in flight."""
    now_ms = context.now_ms()
    return answer(request, await context.reader.ask(watch_picture, context.known(), now_ms, oldest))


@router.get("/named", **answers(NamedSagas, 503))
async def named(
    request: Request, context: Asked, text: Annotated[str, Query(min_length=1, max_length=TEXT_MAX)]
) -> Response:
    """Sagas with this business key, or with an id that begins or ends so; the nearest if there are none."""
    found = await context.reader.ask(named_sagas, context.known(), text, context.now_ms())
    return answer(request, found)
