"""Put access around an application, and refuse one with a route that anybody could call."""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from tracker.access.access import Access
from tracker.access.errors import AccessRefused, UndeclaredRole
from tracker.access.guard import LOOK_AGAIN_SECONDS, PUBLIC_PATHS, Guard
from tracker.access.permit import Anyone, Permitted
from tracker.access.problem import refused
from tracker.access.routes import pages, router


def install(
    app: FastAPI,
    access: Access,
    api_path: str,
    *,
    public_paths: Collection[str] = (),
    look_again_seconds: float = LOOK_AGAIN_SECONDS,
) -> None:
    """The guard, the routes of sign-in, and a look at all routes when the application starts.

    Call it last: what is added to the middleware later would stand before the guard.
    """
    public = PUBLIC_PATHS | set(public_paths)
    app.add_exception_handler(AccessRefused, refused)
    app.include_router(pages)
    app.include_router(router, prefix=api_path)
    app.add_middleware(Guard, access=access, public_paths=public, look_again_seconds=look_again_seconds)
    lifespan = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def guarded(started: FastAPI) -> AsyncIterator[Any]:
        refuse_undeclared(started, public)
        async with lifespan(started) as state:
            try:
                yield state
            finally:
                await access.close()

    app.router.lifespan_context = guarded


def refuse_undeclared(app: FastAPI, public_paths: Collection[str] = PUBLIC_PATHS) -> None:
    """See that each route says which role it needs. What is mounted needs a viewer, as the guard sees to.

    Raises
    ------
    UndeclaredRole
        One does not, or says that it is for anyone under a path that is not public.
    """
    routes = [route for route in iter_route_contexts(app.routes) if route.path != app.openapi_url]
    wrong = [f"{route.path}: {why}" for route in routes if (why := _undeclared(route, public_paths))]
    if wrong:
        raise UndeclaredRole(f"routes that don't say who may call them: {'; '.join(wrong)}")


def _undeclared(route: Any, public_paths: Collection[str]) -> str:
    if isinstance(route.original_route, Mount):
        return ""
    dependant = getattr(route, "dependant", None)
    calls = list(_calls(dependant)) if isinstance(dependant, Dependant) else []
    if any(isinstance(call, Permitted) for call in calls):
        return ""
    if any(isinstance(call, Anyone) for call in calls):
        return "" if route.path in public_paths else "it is for anyone, but the guard does not know that"
    return "give it Depends(permitted(Role.…))"


def _calls(dependant: Dependant) -> Iterator[Any]:
    for needed in dependant.dependencies:
        yield needed.call
        yield from _calls(needed)
