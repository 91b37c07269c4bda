"""Settings and access: who I am, how fresh everything is, API tokens, and who did what."""

import asyncio
from collections.abc import Iterator, Sequence

from tracker.access.role import Principal, Role
from tracker.access.settings import AccessSettings
from tracker.access.tokens import NAME_LENGTH_MAX
from tracker.core.words import plural
from tracker.dashboard.ask import ask, choice, field
from tracker.dashboard.desk import Desk
from tracker.dashboard.moment import ago, at, left, ms_of
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.place import Place, path_to
from tracker.dashboard.table import PAGE_SIZE, facts, pager, table
from tracker.dashboard.words import state
from tracker.view.model.access import AccessStore, TokenRow
from tracker.view.queries.cursor import UnusableCursor
from tracker.view.queries.feeds import AlertDocument, AuditDocument, AuditPage, alerts_page, audit_page
from tracker.view.queries.freshness import Freshness, freshness

TOKENS_MAX = 200
LAG_BAD = 1_000
"""From then on the number of records that wait is drawn in colour."""
DAYS_OFFERED = (7, 30, 90, 365)
DAYS = "90"

_HOW = {
    "local": "nobody signs in here: there are no users, and only this machine reaches it",
    "password": "signed in by password",
    "oidc": "signed in at the OpenID provider",
    "token": "by an API token",
}
_ROLES = (
    (Role.VIEWER, "sees everything but payloads that are masked"),
    (Role.OPERATOR, "acts on sagas and dead letters too, with a reason"),
    (Role.ADMIN, "gives programs access too, and reads the audit log"),
)
_SELF_TOLD = ("tracker-behind", "tracker-caught-up", "source-gone", "unreadable-row")


async def settings_page(desk: Desk, place: Place, principal: Principal) -> Page:
    """What everybody may see; for admins tokens and the audit log too."""
    fresh = await desk.ask("freshness", freshness, desk.now_ms)
    alerts = await desk.ask("tracker", alerts_page, "", None, PAGE_SIZE, None)
    told = next((alert for alert in alerts.alerts if alert.cause in _SELF_TOLD), None)
    if principal.role < Role.ADMIN:
        return Page("Settings", settings_body(principal, fresh, told, [no_admin()]))
    after, by, about = (place.asked.get(name) for name in ("after", "by", "about"))
    store = AccessStore(desk.context.reader.engine)
    try:
        tokens, audit = await asyncio.gather(
            desk.context.reader.do(store.tokens),
            desk.ask((by, about, after), audit_page, by, about, PAGE_SIZE, after),
        )
    except UnusableCursor:
        return Page("Settings", "", moved=place.but())
    days_max = AccessSettings().access_token_days_max
    parts = [tokens_panel(tokens, desk.now_ms, days_max), audit_panel(audit, place)]
    return Page("Settings", settings_body(principal, fresh, told, parts))


def settings_body(
    principal: Principal, fresh: Freshness, told: AlertDocument | None, parts: Sequence[Node]
) -> Node:
    """All of the page; `told` is what the tracker said of itself last."""
    return body(
        head("Settings and access"),
        div("two", _who(principal), _fresh(fresh, told)),
        list(parts),
    )


def no_admin() -> Node:
    """Stands where an admin sees tokens and the audit log."""
    return panel(
        "API tokens and audit log",
        h(
            "p",
            {"class": "soft"},
            "These are for admins. Ask one of them, who can make a token for a program.",
        ),
    )


def _who(principal: Principal) -> Node:
    roles = [
        h(
            "li",
            {},
            h("b", {}, role.text) if role is principal.role else role.text,
            span("soft", f" {does}"),
            span("faint", " · you") if role is principal.role else None,
        )
        for role, does in _ROLES
    ]
    signs_in = principal.how in ("password", "oidc")
    return panel(
        "You",
        facts(
            [
                ("Name", [principal.name]),
                ("Role", [principal.role.text]),
                ("How", [_HOW[principal.how]]),
                ("Roles", [h("ul", {}, roles)]),
            ]
        ),
        h("p", {}, h("a", {"href": "/sign-out", "class": "button", "data-full": True}, "Sign out"))
        if signs_in
        else h(
            "p",
            {"class": "soft"},
            "So that people sign in: ",
            h("code", {}, "saga users add NAME --role admin"),
            ".",
        )
        if principal.how == "local"
        else None,
    )


def _fresh(fresh: Freshness, told: AlertDocument | None) -> Node:
    beat: list[Child] = [ago(fresh.beat_ms), " ago"] if fresh.beat_ms else ["never, or it has ended in order"]
    at_work = (
        state("ok", "at work") if fresh.alive else state("late", "none is at work: start `saga project`")
    )
    lag = plural(fresh.lag_records, "record")
    waiting: list[Child] = [state("late", lag) if fresh.lag_records > LAG_BAD else lag]
    named: list[tuple[str, list[Child]]] = [
        ("As of", [ago(fresh.as_of_ms), " ago"] if fresh.as_of_ms else ["nothing has been read yet"]),
        ("Waiting to be read", waiting),
        ("Projector", [at_work]),
        ("It last said so", beat),
        ("Read model", [f"{fresh.built:.0%} of the sagas are there" if fresh.building else "complete"]),
        ("Tracker", _tracker(told)),
    ]
    return panel("Freshness", facts(named))


def _tracker(told: AlertDocument | None) -> list[Child]:
    if told is None:
        return ["has never told that it is behind"]
    at_ms = ms_of(told.at)
    classes = "ok" if told.cause == "tracker-caught-up" else "late"
    return [state(classes, told.message), *([", ", ago(at_ms), " ago"] if at_ms is not None else [])]


def tokens_panel(tokens: Sequence[TokenRow], now_ms: int, days_max: int) -> Node:
    """API tokens, and the buttons to make and to revoke one."""
    shown = list(reversed(tokens))[:TOKENS_MAX]
    columns = ["Name", "Role", "Made", "By", "Used", "Ends", ""]
    days = {str(each): plural(each, "day") for each in DAYS_OFFERED if each <= days_max}
    days = days or {str(days_max): plural(days_max, "day")}
    make = ask(
        "token create",
        "token-create",
        "New token",
        "Give a program access",
        "The token is shown once. Whoever has it may do what its role may.",
        {},
        field("name", "Name, of the program", required=True, maxlength=NAME_LENGTH_MAX),
        choice("role", "Role", {role.text: f"{role.text}: {does}" for role, does in _ROLES}, "viewer"),
        choice("days", "Lasts", days, DAYS if DAYS in days else next(reversed(days))),
    )
    what = (
        table(columns, [_token(token, now_ms) for token in shown])
        if shown
        else empty(
            "No API tokens", "Programs need one to ask the API: make it with ", h("b", {}, "New token"), "."
        )
    )
    more = f"The newest {TOKENS_MAX} of {len(tokens):,}." if len(tokens) > TOKENS_MAX else ""
    return panel(
        "API tokens",
        what,
        h("p", {"class": "soft"}, more) if more else None,
        beside=div("actions to-the-end", *make),
        name="tokens",
    )


def _token(token: TokenRow, now_ms: int) -> Node:
    revoke = ask(
        "token revoke",
        f"token-revoke-{token.id}",
        "Revoke",
        f"Revoke the token of {token.name}",
        "Programs that have it get no answer from then on.",
        {"token": token.id},
    )
    over = now_ms >= token.expires_ms
    used: list[Child] = [ago(token.used_ms), " ago"] if token.used_ms else [span("faint", "never")]
    return h(
        "tr",
        {"key": token.id},
        h("td", {}, token.name, span("mono faint", f" {token.id}")),
        h("td", {"class": "tight"}, token.role),
        h("td", {"class": "tight soft"}, at(token.made_ms)),
        h("td", {"class": "soft"}, token.made_by),
        h("td", {"class": "tight soft"}, *used),
        h("td", {"class": "tight"}, state("late", "ended") if over else left(token.expires_ms)),
        h("td", {"class": "right"}, *revoke),
    )


def audit_panel(page: AuditPage, place: Place) -> Node:
    """Who did what, and who was refused, the newest first."""
    named = [
        link(place.but(**{name: None}), "chip on", f"{said} {place.asked[name]}", span("", "✕"))
        for name, said in (("by", "by"), ("about", "about"))
        if place.asked.get(name)
    ]
    return panel(
        "Audit log",
        div("chips", *named) if named else None,
        *_audit(page, place),
        beside=span("soft", "written before it is done, kept in Kafka on saga.audit"),
        name="audit",
    )


def _audit(page: AuditPage, place: Place) -> Iterator[Child]:
    if not page.records:
        if place.asked.get("by") or place.asked.get("about"):
            yield empty("Nothing is like that", link("/settings", "", "Take the filters away"), ".")
        else:
            yield empty("Nothing yet", "Whatever people do, or try to, is written down here.")
        return
    columns = ["When", "Who", "Did", "To", "Reason", "From"]
    yield table(columns, [_record(record, place) for record in page.records])
    yield pager(place, page.next)


def _record(record: AuditDocument, place: Place) -> Node:
    at_ms = ms_of(record.at)
    refused = state("late", " refused") if record.outcome == "refused" else None
    # A saga's id, a token, a letter, a job: only the first has a page.
    of_saga = record.action.startswith("saga.")
    target = path_to("sagas", record.object) if of_saga else place.but(about=record.object)
    return h(
        "tr",
        {"key": record.id},
        h("td", {"class": "tight soft"}, at(at_ms) if at_ms is not None else record.at),
        h(
            "td",
            {"class": "tight"},
            link(place.but(by=record.by), "", record.by),
            span("faint", f" {record.role}"),
        ),
        h("td", {"class": "tight"}, record.action, refused),
        h(
            "td",
            {},
            link(target, "cut-text mono", record.object, title=record.object) if record.object else "",
        ),
        h("td", {"class": "wide-text"}, record.reason),
        h("td", {"class": "mono soft tight"}, record.from_),
    )
