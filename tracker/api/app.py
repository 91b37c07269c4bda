"""The application that `saga dashboard` serves.

What belongs where: each router, or each route of it, says in its dependencies which role it needs, or the
application does not start; pages are mounted on the application by `tracker.cli.dashboard`.
"""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from tracker.access.access import Access
from tracker.access.install import install
from tracker.access.permit import permitted
from tracker.access.role import Role
from tracker.api import (
    attention,
    commands,
    dead_letters,
    export,
    feeds,
    flows,
    health,
    jobs,
    live,
    orphans,
    payload,
    sagas,
    services,
)
from tracker.api.context import Context
from tracker.api.openapi import openapi_of
from tracker.api.problem import tell_problems

API_PATH = "/api/v1"
_ROUTERS = (
    sagas,
    payload,
    commands,
    attention,
    flows,
    services,
    feeds,
    dead_letters,
    jobs,
    orphans,
    health,
    live,
    export,
)
_VERSION = "1"
_GZIP_BYTES_MIN = 1_000


def create_app(context: Context, access: Access) -> FastAPI:
    """The application around this context. Whoever serves it opens and closes what is in there.

    `access` ends with the application.
    """
    app = FastAPI(
        title="saga",
        version=_VERSION,
        description="Every business transaction that choreographed services make over Kafka.",
        openapi_url=f"{API_PATH}/openapi.json",
        docs_url=None,  # their scripts come from the internet
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.context = context
    app.add_middleware(GZipMiddleware, minimum_size=_GZIP_BYTES_MIN)
    tell_problems(app)
    viewers = [Depends(permitted(Role.VIEWER))]
    api = APIRouter(prefix=API_PATH)
    for each in _ROUTERS:
        api.include_router(each.router, dependencies=viewers)
    app.include_router(api)

    def openapi() -> dict[str, Any]:
        app.openapi_schema = app.openapi_schema or openapi_of(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    install(app, access, API_PATH)
    return app
