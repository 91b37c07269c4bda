"""/api/v1/status: whether the tracker keeps up, asked of Kafka; and the read model behind it."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tracker.api.answer import answer, answers
from tracker.api.context import Asked
from tracker.api.problem import Problem
from tracker.health import read_health
from tracker.runtime.lag import Lags
from tracker.view.documents.health import HealthDocument, health_document
from tracker.view.queries.feeds import model_freshness

WAIT_SECONDS = 30.0
WAITING_MAX = 8

router = APIRouter(tags=["operations"])

_asking = asyncio.Semaphore(WAITING_MAX)


@router.get("/status", **answers(HealthDocument, 503))
async def status(
    request: Request,
    context: Asked,
    behind_ms: Annotated[
        int, Query(ge=0, lt=2**53, description="What waits longer, or holds up time for longer, is not well.")
    ] = 60_000,
) -> Response:
    """Members of the tracker's groups, what waits for them, how far time has come, who holds it up; and how
    fresh the read model is.
    """
    if _asking.locked():
        detail = f"{WAITING_MAX} others ask for the same, which takes Kafka a while: ask again later"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail)
    async with _asking, asyncio.timeout(WAIT_SECONDS), Lags(context.settings) as lags:
        health = await read_health(context.settings, lags)
    model = await context.reader.ask(model_freshness, context.now_ms())
    return answer(request, health_document(health, behind_ms, model))
