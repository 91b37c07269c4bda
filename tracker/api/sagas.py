"""/api/v1/sagas: search, and one saga."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime
from starlette.responses import Response

from tracker.api.answer import answer, answers
from tracker.api.context import Asked
from tracker.api.parameters import (
    EDGE_PATTERN,
    TEXT_MAX,
    VARIANT_PATTERN,
    After,
    Limit,
    Moment,
    SagaId,
    Version,
    milliseconds,
)
from tracker.api.problem import Problem
from tracker.core.contract.expected import edge_of
from tracker.core.contract.findings import Kind
from tracker.core.status import Status
from tracker.view.documents.saga import SagaDocument
from tracker.view.model.search import Order, Wanted
from tracker.view.queries.sagas import SagaPage, find_sagas, one_saga

router = APIRouter(prefix="/sagas", tags=["sagas"])

VariantId = Annotated[
    str | None,
    Query(pattern=VARIANT_PATTERN, description="That it went and ended: `id` in /flows/{flow}/variants."),
]
EdgeId = Annotated[
    str | None,
    Query(
        max_length=3 * TEXT_MAX,
        pattern=EDGE_PATTERN,
        description="cause,service,effect that it took: `id` in /flows/{flow}/map.",
    ),
]
Text = Annotated[str | None, Query(max_length=TEXT_MAX)]
RunningStand = Annotated[
    Literal["on time", "due soon", "overdue"] | None,
    Query(description="How the most urgent of its clocks stands."),
]


def wanted_sagas(
    flow: Annotated[
        str | None, Query(max_length=TEXT_MAX, description="Of a flow file, or the type of the first event.")
    ] = None,
    version: Version = None,
    status: Annotated[list[Status] | None, Query(description="May be given repeatedly.")] = None,
    key: Annotated[str | None, Query(max_length=TEXT_MAX, description="The business key.")] = None,
    id_prefix: Text = None,
    event_type: Annotated[str | None, Query(max_length=TEXT_MAX, description="Of an event it has.")] = None,
    service: Annotated[str | None, Query(max_length=TEXT_MAX, description="That handled an event.")] = None,
    variant: VariantId = None,
    edge: EdgeId = None,
    waiting_for: Annotated[
        str | None, Query(max_length=TEXT_MAX, description="A service that owes an answer.")
    ] = None,
    error: Annotated[str | None, Query(max_length=TEXT_MAX, description="Part of what failed it.")] = None,
    sla: RunningStand = None,
    at_risk: Annotated[
        bool, Query(description="Warned of a deadline or beyond it; /at-risk has the forecasts too.")
    ] = False,
    waiting_until: Annotated[
        AwareDatetime | None, Query(description="It waits for something since then, or longer.")
    ] = None,
    finding: Annotated[
        list[Kind] | None,
        Query(description="What is wrong with it, any of several; `stuck` only by itself."),
    ] = None,
    began_from: Moment = None,
    began_until: Moment = None,
    ended_from: Moment = None,
    ended_until: Moment = None,
) -> Wanted:
    """What a saga must be to be found, from the parameters of a request."""
    return Wanted(
        flow=flow,
        flow_version=version,
        statuses=frozenset(status or ()),
        business_key=key,
        id_prefix=id_prefix or "",
        event_type=event_type,
        service=service,
        variant=variant,
        edge=None if edge is None else edge_of(edge),
        waiting_for=waiting_for,
        error=error or "",
        stand=sla,
        at_risk=at_risk,
        waiting_until_ms=milliseconds(waiting_until),
        findings=frozenset(finding or ()),
        began_from_ms=milliseconds(began_from),
        began_until_ms=milliseconds(began_until),
        ended_from_ms=milliseconds(ended_from),
        ended_until_ms=milliseconds(ended_until),
    )


@router.get("", **answers(SagaPage, 400, 503))
async def search(
    request: Request,
    context: Asked,
    wanted: Annotated[Wanted, Depends(wanted_sagas)],
    order: Annotated[
        Order, Query(description="stalest: what has not moved for longest first; latest: what moved last.")
    ] = Order.NEWEST,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Sagas, a page at a time."""
    now_ms = context.now_ms()
    page = await context.reader.ask(find_sagas, context.known(), wanted, order, limit, now_ms, after)
    return answer(request, page)


@router.get("/{saga_id}", **answers(SagaDocument, 404, 503))
async def one(request: Request, context: Asked, saga_id: SagaId) -> Response:
    """Everything that is known of one saga; of one that belongs to another the other."""
    found = await context.reader.ask(one_saga, context.known(), saga_id, context.now_ms())
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, "unknown-saga", f"there is no saga {saga_id!r}")
    return answer(request, found)
