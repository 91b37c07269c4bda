"""/api/v1/alerts, /commands, /audit and /freshness."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tracker.access.permit import permitted
from tracker.access.role import Role
from tracker.api.answer import answer, answers
from tracker.api.context import Asked
from tracker.api.parameters import TEXT_MAX, After, Limit
from tracker.view.documents.freshness import FreshnessDocument
from tracker.view.queries.feeds import (
    AlertsPage,
    AuditPage,
    CommandsPage,
    alerts_page,
    audit_page,
    commands_page,
    model_freshness,
)

router = APIRouter(tags=["operations"])

Saga = Annotated[str | None, Query(max_length=TEXT_MAX, description="Only of the saga with this id.")]
By = Annotated[str | None, Query(max_length=TEXT_MAX, description="Only of whom this names.")]


@router.get("/alerts", **answers(AlertsPage, 400, 503))
async def alerts(
    request: Request,
    context: Asked,
    saga: Saga = None,
    flow: Annotated[str | None, Query(max_length=TEXT_MAX, description="Only of this flow.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Warnings, breaches and what else the tracker has told, the newest first."""
    return answer(request, await context.reader.ask(alerts_page, saga, flow, limit, after))


@router.get("/commands", **answers(CommandsPage, 400, 503))
async def commands(
    request: Request, context: Asked, saga: Saga = None, by: By = None, limit: Limit = 50, after: After = None
) -> Response:
    """What operators asked for, why, and what became of it, the newest first."""
    return answer(request, await context.reader.ask(commands_page, saga, by, limit, after))


@router.get("/audit", dependencies=[Depends(permitted(Role.ADMIN))], **answers(AuditPage, 400, 503))
async def audit(
    request: Request,
    context: Asked,
    by: By = None,
    about: Annotated[
        str | None, Query(max_length=TEXT_MAX, description="Only about this: the id of a saga, say.")
    ] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Who did what, and who was refused, the newest first."""
    return answer(request, await context.reader.ask(audit_page, by, about, limit, after))


@router.get("/freshness", **answers(FreshnessDocument, 503))
async def freshness(request: Request, context: Asked) -> Response:
    """How fresh all answers are."""
    return answer(request, await context.reader.ask(model_freshness, context.now_ms()))
