"""Access for tests: on loopback everybody is an admin; with a user file people sign in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tracker.access.access import Access, wall_ms
from tracker.access.errors import AuditUnavailable
from tracker.access.password import hashed
from tracker.access.role import Role
from tracker.access.settings import AccessSettings
from tracker.access.users import User, change_users
from tracker.core.audit import AuditRecord
from tracker.view.model.access import AccessStore

PASSWORD = "a long enough password"
_HASH = hashed(PASSWORD)


class KeptAudit:
    """An audit log that a test reads; `down`: it takes nothing."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self.down = False

    async def write(self, record: AuditRecord) -> None:
        if self.down:
            raise AuditUnavailable("the audit log of the test is down")
        self.records.append(record)

    async def close(self) -> None:
        pass


def access_of(
    engine: Engine,
    now_ms: Callable[[], int] = wall_ms,
    audit: KeptAudit | None = None,
    host: str = "127.0.0.1",
    **settings: Any,
) -> Access:
    """Access over this database, with no users unless `access_users_file` names a file that has some."""
    how = AccessSettings(access_users_file=Path("/nonexistent/users")).model_copy(update=settings)
    return Access(how, AccessStore(engine), audit or KeptAudit(), host, now_ms)


def put_user(path: Path, name: str, role: Role | None, hash_: str = _HASH) -> None:
    """Add or change a user, whose password is `PASSWORD`; without a role there is none of this name."""

    def change(users: dict[str, User]) -> None:
        users.pop(name, None)
        if role is not None:
            users[name] = User(name, role, hash_)

    change_users(path, change)
