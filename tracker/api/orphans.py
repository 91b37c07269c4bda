"""/api/v1/orphans: records that belong to no saga, read from Kafka when somebody asks."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from tracker.api.answer import answer, answers
from tracker.api.context import Asked
from tracker.api.parameters import Limit
from tracker.api.problem import Problem
from tracker.view.documents.orphans import OrphansDocument, orphans_document
from tracker.view.orphans import read_orphans

LAST_MAX = 10_000
WAIT_SECONDS = 30.0

router = APIRouter(tags=["operations"])

_reading = asyncio.Semaphore(1)


@router.get("/orphans", **answers(OrphansDocument, 503))
async def orphans(
    request: Request,
    context: Asked,
    last: Annotated[
        int, Query(ge=1, le=LAST_MAX, description="So many records of each partition are looked at.")
    ] = 1_000,
    limit: Limit = 50,
) -> Response:
    """Of the newest records those that belong to no saga, where they lie, and why."""
    if _reading.locked():
        detail = "somebody else is looking for orphans, which reads many records: ask again later"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail)
    async with _reading, asyncio.timeout(WAIT_SECONDS):
        found = await read_orphans(context.settings, (), last, limit)
    return answer(request, orphans_document(found))
