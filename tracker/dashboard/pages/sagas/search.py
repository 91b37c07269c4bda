"""What an address asks for, and the sagas that are like that."""

import re
from dataclasses import replace

from tracker.core.contract.expected import edge_of
from tracker.core.contract.findings import Kind
from tracker.core.discovery import VARIANT_ID
from tracker.core.status import ENDED, Status
from tracker.dashboard.moment import ms_of
from tracker.dashboard.place import Place
from tracker.view.clocks import Stand
from tracker.view.queries.sagas import Order, Wanted

IN_FLIGHT = tuple(status for status in Status if status not in ENDED)
STANDS: tuple[Stand, ...] = ("on time", "due soon", "overdue")


def wanted_of(place: Place) -> tuple[Wanted, Order]:
    """What the address asks for.

    Raises
    ------
    ValueError
        It names a status, a stand, a finding or an order that there is none of, or what is no variant, edge
        or time.
    """
    asked = place.asked
    statuses: frozenset[Status] = frozenset()
    if asked.get("status") == "in-flight":
        statuses = frozenset(IN_FLIGHT)
    elif asked.get("status"):
        statuses = frozenset(Status(name) for name in asked["status"].split(","))
    stand = next((stand for stand in STANDS if stand == asked.get("sla")), None)
    if asked.get("sla") and stand is None:
        raise ValueError(f"{asked['sla']!r} is none of {', '.join(STANDS)}")
    wanted = Wanted(
        flow=asked.get("flow"),
        flow_version=int(asked["version"]) if asked.get("version") else None,
        statuses=statuses,
        place=asked.get("where"),
        business_key=text_of(place) or None,
        event_type=asked.get("event"),
        service=asked.get("service"),
        variant=_variant(asked["variant"]) if asked.get("variant") else None,
        edge=edge_of(asked["edge"]) if asked.get("edge") else None,
        waiting_for=asked.get("waiting-for"),
        error=asked.get("error", ""),
        stand=stand,
        findings=frozenset([Kind(asked["finding"])] if asked.get("finding") else []),
        ended_from_ms=_moment(asked["ended-from"]) if asked.get("ended-from") else None,
    )
    return wanted, Order(asked.get("order") or Order.NEWEST.value)


def _variant(text: str) -> str:
    if re.fullmatch(VARIANT_ID, text) is None:
        raise ValueError(f"{text!r} is no id of a variant")
    return text


def _moment(text: str) -> int:
    found = ms_of(text)
    if found is None:
        raise ValueError(f"{text!r} is no time like 2026-01-31T08:00:00Z")
    return found


def text_of(place: Place) -> str:
    """What was typed into the search field."""
    return place.asked.get("q", "").strip()


def by_id(wanted: Wanted) -> Wanted:
    """The same, with what was typed as the beginning of an id: it was no business key."""
    return replace(wanted, business_key=None, id_prefix=wanted.business_key or "")
