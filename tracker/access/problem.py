"""How a refusal is told over HTTP: problem+json (RFC 9457), as every error of the API."""

import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tracker.access.errors import AccessRefused, SignInNeeded, TooManyTries


def problem(error: AccessRefused, path: str) -> Response:
    """The answer that says so."""
    status = HTTPStatus(error.status)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()
    told = {
        "type": f"urn:saga:problem:{name}",
        "title": status.phrase,
        "status": status.value,
        "detail": str(error),
        "instance": path,
    }
    headers = {}
    if isinstance(error, SignInNeeded):
        headers["www-authenticate"] = 'Bearer realm="saga"'
    if isinstance(error, TooManyTries):
        headers["retry-after"] = str(error.wait_seconds)
    return JSONResponse(told, status.value, headers, media_type="application/problem+json")


async def refused(request: Request, error: Exception) -> Response:
    """As FastAPI wants its handlers of exceptions."""
    assert isinstance(error, AccessRefused)
    return problem(error, request.url.path)
