"""What `saga tokens` does: in the database of the server, and written to the audit log first."""

import contextlib
import getpass
from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from tracker.access.access import wall_ms
from tracker.access.audit import KafkaAudit, audit_record
from tracker.access.role import Role
from tracker.access.settings import AccessSettings
from tracker.access.tokens import UnusableToken, new_token
from tracker.cli.connection import connected
from tracker.cli.console import note, output
from tracker.cli.moment import date_and_time
from tracker.view.documents.moment import timestamp
from tracker.view.model.access import AccessStore
from tracker.view.model.database import open_model
from tracker.view.projector.settings import ProjectorSettings

_AUDIT_SECONDS_MAX = 20.0
"""The first record makes its topic, which takes a cluster that has just been started its time."""


async def create(
    name: str, role_name: str, days: int, reason: str, database: str | None, bootstrap_servers: str | None
) -> int:
    """Make a token, and print it."""
    try:
        role = Role.of(role_name)
    except ValueError as error:
        raise UnusableToken(str(error)) from None
    by = getpass.getuser()
    secret, token = new_token(name, role, days, AccessSettings().access_token_days_max, by, wall_ms())
    with _store(database) as store:
        await _audited(bootstrap_servers, "token.create", f"{token.id} {token.name} {token.role}", reason)
        store.add_token(token)
    print(secret)
    until = date_and_time(timestamp(token.expires_ms))
    note(f"{role.text} until {until}, id {token.id}; it is not shown again")
    return 0


async def list_(database: str | None) -> int:
    """Print what is known of all tokens."""
    with _store(database) as store:
        found = store.tokens()
    if not found:
        note("no tokens: `saga tokens create NAME --role viewer --reason WHY` makes one")
        return 0
    table = Table(
        "ID", "NAME", "ROLE", "MADE BY", "EXPIRES", "LAST USED", box=None, pad_edge=False, header_style=""
    )
    now_ms = wall_ms()
    for token in found:
        expires = date_and_time(timestamp(token.expires_ms))
        table.add_row(
            token.id,
            escape(token.name),
            token.role,
            escape(token.made_by),
            f"[red]{expires}, expired[/red]" if token.expires_ms <= now_ms else expires,
            "never" if token.used_ms is None else date_and_time(timestamp(token.used_ms)),
        )
    output().print(table)
    return 0


async def revoke(token_id: str, reason: str, database: str | None, bootstrap_servers: str | None) -> int:
    """Take one away."""
    with _store(database) as store:
        found = {token.id: token for token in store.tokens()}.get(token_id)
        if found is None:
            raise UnusableToken(f"there is no token {token_id}: `saga tokens list` shows all")
        await _audited(bootstrap_servers, "token.revoke", f"{found.id} {found.name} {found.role}", reason)
        store.remove_token(token_id)
    note(f"{found.name} gives no access any more")
    return 0


async def _audited(bootstrap_servers: str | None, action: str, object: str, reason: str) -> None:
    if not reason.strip():
        raise UnusableToken("the reason is empty: it is kept in the audit log, so say it")
    audit = KafkaAudit(await connected(bootstrap_servers), _AUDIT_SECONDS_MAX)
    try:
        await audit.write(audit_record(wall_ms(), getpass.getuser(), "admin", action, object, reason))
    finally:
        await audit.close()


@contextlib.contextmanager
def _store(database: str | None) -> Iterator[AccessStore]:
    engine = open_model(database or ProjectorSettings().database)
    try:
        yield AccessStore(engine)
    finally:
        engine.dispose()
