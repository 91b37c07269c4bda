"""Every error as a problem (RFC 9457): `application/problem+json`, whatever went wrong.

`type` is `urn:saga:problem:<name>`; a program decides by it, and a person reads `detail`.
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from msgspec import Struct, json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from saga.core.errors import KafkaUnavailable, SagaError
from saga.runtime.kafka import KafkaError
from tracker.core.errors import NothingTracked, UnreadableSaga
from tracker.runtime.commands import UnusableCommand
from tracker.runtime.payload import RecordGone
from tracker.view.contract import UnknownFlow
from tracker.view.queries.cursor import UnusableCursor
from tracker.view.queries.live import TooManyWatchers
from tracker.view.queries.reader import ModelFailed, QuestionTooSlow, TooManyQuestions
from tracker.view.queries.sagas import UnusableSearch
from tracker.view.queries.services import UnknownEvent, UnknownService

PROBLEM_JSON = "application/problem+json"
_URN = "urn:saga:problem:"
_INVALID_MAX = 20

_log = logging.getLogger(__name__)


class Invalid(Struct, frozen=True):
    """A value of the request that can't be: where it stands, and why."""

    where: str
    reason: str


class ProblemDocument(Struct, frozen=True, omit_defaults=True):
    """What went wrong, for programs (`type`) and for people (`detail`)."""

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    invalid: Sequence[Invalid] = ()


class Problem(SagaError):
    """Raised by an endpoint: answered with this status, as a problem of this name."""

    def __init__(self, status: HTTPStatus, name: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail


_KNOWN: tuple[tuple[type[Exception], HTTPStatus, str], ...] = (
    (UnusableCursor, HTTPStatus.BAD_REQUEST, "unusable-cursor"),
    (UnusableSearch, HTTPStatus.BAD_REQUEST, "unusable-search"),
    (UnknownFlow, HTTPStatus.NOT_FOUND, "unknown-flow"),
    (UnknownService, HTTPStatus.NOT_FOUND, "unknown-service"),
    (UnknownEvent, HTTPStatus.NOT_FOUND, "unknown-event-type"),
    (UnusableCommand, HTTPStatus.BAD_REQUEST, "unusable-command"),
    (RecordGone, HTTPStatus.GONE, "record-gone"),
    (TimeoutError, HTTPStatus.SERVICE_UNAVAILABLE, "kafka-unavailable"),
    (TooManyWatchers, HTTPStatus.SERVICE_UNAVAILABLE, "too-many-watchers"),
    (TooManyQuestions, HTTPStatus.SERVICE_UNAVAILABLE, "too-many-questions"),
    (QuestionTooSlow, HTTPStatus.SERVICE_UNAVAILABLE, "question-too-slow"),
    (ModelFailed, HTTPStatus.SERVICE_UNAVAILABLE, "database-unavailable"),
    (NothingTracked, HTTPStatus.SERVICE_UNAVAILABLE, "nothing-tracked"),
    (KafkaUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, "kafka-unavailable"),
    (KafkaError, HTTPStatus.SERVICE_UNAVAILABLE, "kafka-unavailable"),
    (UnreadableSaga, HTTPStatus.INTERNAL_SERVER_ERROR, "unreadable-saga"),
)


def tell_problems(app: FastAPI) -> None:
    """Have every error of this application answered as a problem."""
    app.add_exception_handler(Exception, _unexpected)
    app.add_exception_handler(SagaError, _ours)
    app.add_exception_handler(KafkaError, _ours)
    app.add_exception_handler(TimeoutError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


def problem_response(
    request: Request,
    status: HTTPStatus,
    name: str,
    detail: str,
    invalid: Sequence[Invalid] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """The answer that tells a problem."""
    document = ProblemDocument(
        f"{_URN}{name}", status.phrase, status.value, detail, request.url.path, tuple(invalid)
    )
    told = {"Cache-Control": "no-store", **(headers or {})}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        told.setdefault("Retry-After", "5")
    return Response(json.encode(document), status.value, told, PROBLEM_JSON)


async def _ours(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return problem_response(request, error.status, error.name, error.detail)
    for kind, status, name in _KNOWN:
        if isinstance(error, kind):
            return problem_response(request, status, name, str(error))
    return await _unexpected(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    name = status.phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    detail = error.detail if error.detail != status.phrase else ""
    return problem_response(request, status, name, detail, headers=headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Without the input: it may be megabytes, or somebody's secret.
    found = [Invalid(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()[:_INVALID_MAX]]
    detail = "; ".join(f"{each.where}: {each.reason}" for each in found)
    return problem_response(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", detail, found)


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %r failed", request.method, request.url.path, exc_info=error)
    detail = "the server failed: its log says why"
    return problem_response(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", detail)
