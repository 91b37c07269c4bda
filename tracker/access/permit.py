"""Ask, in a route or on a page, who it is and whether they may."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from tracker.access.access import Asker
from tracker.access.audit import audit_record
from tracker.access.errors import NotPermitted, SignInNeeded
from tracker.access.role import Principal, Role

SCOPE_KEY = "saga.access"


@dataclass(frozen=True)
class Permitted:
    """A dependency of FastAPI: the principal, if the role is enough."""

    role: Role

    async def __call__(self, request: HTTPConnection) -> Principal:
        principal = principal_of(request)
        if principal.role < self.role:
            asker = asker_of(request)
            await asker.access.refused(principal, _action(request), request.url.path, asker.address)
        return _checked(principal, self.role)


@dataclass(frozen=True)
class Anyone:
    """A dependency that says that a route is for everybody, signed in or not. Its path has to be public."""

    async def __call__(self) -> None:
        return None


def permitted(role: Role) -> Permitted:
    """`Depends(permitted(Role.OPERATOR))` gives the principal, or answers 401 or 403."""
    return Permitted(role)


def principal_of(request: HTTPConnection) -> Principal:
    """Who sent this request, as they were at that time.

    Raises
    ------
    SignInNeeded
        Nobody is signed in.
    """
    principal = asker_of(request).principal
    if principal is None:
        raise SignInNeeded("sign in first, or send an API token as `Authorization: Bearer`")
    return principal


async def act(
    request: HTTPConnection, role: Role, action: str, object: str = "", reason: str = ""
) -> Principal:
    """To be awaited right before something is done for somebody; it is written to the audit log.

    Looks anew at who they are and which role they have: a page may be open for hours.

    Raises
    ------
    SignInNeeded, NotPermitted
        They may not, or no longer.
    AuditUnavailable
        It can't be written down, so it must not be done.
    """
    asker = asker_of(request)
    principal = await asker.now()
    at_ms = asker.access.now_ms()
    allowed = principal.role >= role
    await asker.access.audit.write(
        audit_record(
            at_ms,
            principal.name,
            principal.role.text,
            action,
            object,
            reason,
            asker.address,
            "allowed" if allowed else "refused",
        )
    )
    return _checked(principal, role)


def asker_of(request: HTTPConnection) -> Asker:
    """Who sent this request, and from where."""
    asker = request.scope.get(SCOPE_KEY)
    assert isinstance(asker, Asker), "the guard has not seen this request: install(app, access)"
    return asker


def _action(request: HTTPConnection) -> str:
    """`POST /api/v1/jobs/{job_id}/abort`: the route, of which there are only so many."""
    route = getattr(request.scope.get("route"), "path", request.url.path)
    return f"{request.scope.get('method', request.scope['type'])} {route}"


def _checked(principal: Principal, role: Role) -> Principal:
    if principal.role < role:
        raise NotPermitted(f"{principal.name} is {principal.role.text}; this needs {role.text}")
    return principal
