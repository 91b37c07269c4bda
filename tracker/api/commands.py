"""/api/v1/sagas/{id}/commands and /plan: what operators do about one saga."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid5

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from tracker.access.permit import act, permitted
from tracker.access.role import Role
from tracker.api.answer import answer, answers
from tracker.api.context import Asked, Context
from tracker.api.parameters import TEXT_MAX, SagaId
from tracker.api.problem import Problem
from tracker.core.collect import REASON_LENGTH_MAX
from tracker.core.command import Action
from tracker.core.saga import Saga
from tracker.runtime.commands import ask, new_command
from tracker.view.documents.command import CommandAnswer
from tracker.view.documents.undo import PlanDocument
from tracker.view.queries.feeds import CommandDocument, one_command
from tracker.view.queries.sagas import saga_plan, whole_saga

WAIT_SECONDS_MAX = 30.0
_KEYS = UUID("5a1c3f0e-7a52-4d0b-9a57-3d1f2f6f2a10")
"""Ids of commands are made of idempotency keys within this name space."""

router = APIRouter(prefix="/sagas/{saga_id}", tags=["actions"])


class Wish(BaseModel):
    """What is to be done. `event` is for `retry`, `skip` and `done`, `undo` for `cancel`."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    reason: Annotated[str, Field(min_length=1, max_length=REASON_LENGTH_MAX, pattern=r"\S")]
    event: Annotated[str, Field(max_length=TEXT_MAX)] = ""
    undo: bool = True


@router.get("/plan", **answers(PlanDocument, 404, 409, 503))
async def plan(request: Request, context: Asked, saga_id: SagaId) -> Response:
    """What `compensate` would do now: the undos in their order, and what is published behind them."""
    saga = await _saga(context, saga_id)
    found = saga_plan(saga, context.known(), context.now_ms())
    if found is None:
        detail = "the saga is of no known flow, so nothing says how to undo it"
        raise Problem(HTTPStatus.CONFLICT, "no-flow", detail)
    return answer(request, found)


@router.post(
    "/commands",
    dependencies=[Depends(permitted(Role.OPERATOR))],
    **answers(CommandAnswer, 400, 403, 404, 409, 503),
)
async def command(
    request: Request,
    context: Asked,
    saga_id: SagaId,
    wish: Wish,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=TEXT_MAX,
            description="Of the client: a request that is repeated with the same key is obeyed once.",
        ),
    ] = None,
    wait_seconds: Annotated[
        float, Query(ge=0, le=WAIT_SECONDS_MAX, description="So long the answer is waited for.")
    ] = 5.0,
) -> Response:
    """Ask the tracker for something. 200: it is done; 202: it has not answered yet; 409: it refuses."""
    saga = await _saga(context, saga_id)
    # Right before it is done: who it is now, written down with the reason.
    by = (await act(request, Role.OPERATOR, wish.action, saga.id, wish.reason)).name
    id_ = None if idempotency_key is None else str(uuid5(_KEYS, "\0".join((by, saga.id, idempotency_key))))
    wanted = new_command(saga.id, wish.action, by, wish.reason, wish.event, wish.undo, id_=id_)
    before = None if id_ is None else await context.reader.ask(one_command, id_)
    if before is not None:
        return _again(request, before, wish)
    _, reply = await ask(context.settings, wanted, wait_seconds)
    accepted, message = (None, None) if reply is None else (reply.accepted, reply.message)
    return _answer(request, CommandAnswer(wanted.id, saga.id, wish.action, accepted, message))


def _again(request: Request, before: CommandDocument, wish: Wish) -> Response:
    same = (wish.action, wish.reason, wish.event or None, wish.undo)
    if (before.action, before.reason, before.event, before.undo) != same:
        detail = "this Idempotency-Key stands for another command already: use a new one"
        raise Problem(HTTPStatus.CONFLICT, "idempotency-key-reused", detail)
    told = CommandAnswer(before.id, before.saga, before.action, before.accepted, before.message)
    return _answer(request, told)


def _answer(request: Request, told: CommandAnswer) -> Response:
    if told.accepted is False:
        raise Problem(HTTPStatus.CONFLICT, "command-refused", told.message or "the tracker refuses")
    response = answer(request, told)
    if told.accepted is None:
        response.status_code = HTTPStatus.ACCEPTED
    response.headers["Cache-Control"] = "no-store"
    return response


async def _saga(context: Context, saga_id: str) -> Saga:
    saga = await context.reader.ask(whole_saga, saga_id)
    if saga is None:
        raise Problem(HTTPStatus.NOT_FOUND, "unknown-saga", f"there is no saga {saga_id!r}")
    return saga
