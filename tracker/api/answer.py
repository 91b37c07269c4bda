"""Answers in JSON, and how OpenAPI tells of them."""

from hashlib import blake2b
from typing import Any

from fastapi import Request
from msgspec import Struct, json
from starlette.responses import Response

from tracker.api.problem import PROBLEM_JSON

_JSON = "application/json"
PROBLEM: dict[str, Any] = {
    "description": "A problem.",
    "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
}


def answer(request: Request, value: object) -> Response:
    """The value as JSON; nothing but 304 where the asker has the same already."""
    body = json.encode(value)
    tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=_JSON)


def answers(document: type[Struct], *problems: int) -> dict[str, Any]:
    """Arguments of a route: it answers with such a document, or with one of these errors."""
    schema = {"$ref": f"#/components/schemas/{document.__name__}"}
    responses: dict[int | str, dict[str, Any]] = {
        200: {
            "description": (document.__doc__ or "").partition("\n")[0],
            "content": {_JSON: {"schema": schema}},
        }
    }
    for status in (*problems, 422):
        responses[status] = PROBLEM
    return {"response_model": None, "response_class": Response, "responses": responses}
