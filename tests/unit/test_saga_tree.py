"""What `saga show` prints."""

import re
from textwrap import dedent

from msgspec import to_builtins
from rich.console import Console

from tests.facts import (
    CHARGED,
    DISPATCHED,
    GIVEN_UP,
    NOON_MS,
    PLACED,
    RESERVED,
    SERVICES,
    event,
    receipt,
)
from tracker.cli.moment import date_and_time, time_of_day
from tracker.cli.tree import saga_tree
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.subscriptions import Subscriptions
from tracker.view.documents.moment import timestamp
from tracker.view.documents.saga import saga_document
from tracker.view.known import Known

SAGA_ID = "0193a7c2-51e0-7d3c-9a1f-0c5de2a3b411"
KNOWN = Known(Subscriptions(SERVICES))


def shown(facts: list[Observation], *, after_ms: int = 192_000, width: int = 160) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(saga_tree(saga_document(fold(None, SAGA_ID, facts), KNOWN, NOON_MS + after_ms)))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def text(expected: str) -> str:
    return dedent(expected).lstrip("\n")


def test_a_finished_saga_tells_who_did_what_and_how_long_it_took() -> None:
    assert shown(PLACED + RESERVED + CHARGED + DISPATCHED) == text("""
    (unknown) order.placed  0193a7c2-51e0-7d3c-9a1f-0c5de2a3b411  o-1042  completed after 1.1 s
    began 2025-10-09 12:00:00 UTC, 3m 12s ago
    12:00:00.000  orders     order.placed                         inventory 12 ms
    12:00:00.014  inventory  └─ stock.reserved           + 14 ms  payments 38 ms, 2nd attempt (Timeout)
    12:00:01.058  payments      └─ payment.charged       + 1.0 s  shipping 5 ms
    12:00:01.105  shipping         └─ parcel.dispatched  + 47 ms  nobody subscribed
    """)


def test_a_retry_tells_when_it_goes_on_and_why_it_has_to() -> None:
    assert shown(PLACED + RESERVED, after_ms=220) == text("""
    (unknown) order.placed  0193a7c2-51e0-7d3c-9a1f-0c5de2a3b411  o-1042  retrying
    began 2025-10-09 12:00:00 UTC, 220 ms ago
    12:00:00.000  orders     order.placed                inventory 12 ms
    12:00:00.014  inventory  └─ stock.reserved  + 14 ms  payments: 2nd attempt in 800 ms (Timeout: no answer)
    """)


def test_a_service_that_has_not_answered_is_named() -> None:
    assert "shipping: no answer for 3m 11s\n" in shown(PLACED + RESERVED + CHARGED)


def test_a_dead_letter_tells_its_reason() -> None:
    told = shown(PLACED + RESERVED + CHARGED + GIVEN_UP)

    assert "failed after 1.1 s" in told
    assert "shipping: dead-lettered, 5th attempt (NoStreet: no such street)\n" in told


def test_what_is_odd_about_an_event_stands_beside_it() -> None:
    facts: list[Observation] = [
        event("e1", "order.placed"),
        event("e1", "order.placed", after_ms=3, offset=7),
        event("e2", "a", after_ms=5, cause="e1"),
        event("e3", "b", after_ms=4, cause="e2"),
        event("e4", "c", after_ms=6, cause="e1"),
        event("e5", "d", after_ms=9, cause="never-seen"),
        receipt("e6", "inventory", after_ms=10),
        receipt("e6", "inventory", after_ms=90),
        receipt("e6", "orders", "ignored", after_ms=10),
    ]
    assert shown(facts) == text("""
    (unknown) order.placed  0193a7c2-51e0-7d3c-9a1f-0c5de2a3b411  o-1042  open
    began 2025-10-09 12:00:00 UTC, 3m 12s ago
    12:00:00.000  orders  order.placed          inventory: no answer for 3m 12s
                                                published twice: orders/0@0, orders/0@7
    12:00:00.005  orders  ├─ a          + 5 ms  nobody subscribed
    12:00:00.004  orders  │  └─ b       - 1 ms  nobody subscribed
    12:00:00.006  orders  └─ c          + 6 ms  nobody subscribed
    12:00:00.009  orders  d                     nobody subscribed
                                                cause unknown: never-seen
    12:00:00.010          event e6              inventory 10 ms, handled 2 times
                                                orders ignored it
                                                only its receipts have been read
    """)


def test_a_very_deep_chain_stays_on_the_screen() -> None:
    facts: list[Observation] = [
        event("0", "t"),
        *(event(str(i), "t", cause=str(i - 1)) for i in range(1, 60)),
    ]

    assert "(59) └─ t" in shown(facts, width=100)


def test_times_that_are_no_dates_are_shown_as_numbers() -> None:
    at = timestamp(10**17)
    assert time_of_day(at) == date_and_time(at) == "100000000000000000 ms"


def test_the_json_of_a_saga_has_every_event_with_its_receipts() -> None:
    told = to_builtins(saga_document(fold(None, SAGA_ID, PLACED + RESERVED), KNOWN, NOON_MS + 220))

    assert told["status"] == "retrying"
    first, second = told["events"]
    assert first["handled_by"][0]["attempts"][0]["duration_ms"] == 12
    assert second["cause"] == "e1"
    assert second["waiting_for"][0]["retry_at"] == "2025-10-09T12:00:01.020Z"


def test_of_a_saga_of_too_many_events_some_are_shown_below_the_first_of_each_type() -> None:
    events = [event(f"m-{i}", "parcel.weighed", after_ms=100 + i, cause="e2") for i in range(2_000)]
    told = shown([*PLACED, *RESERVED, *events])
    lines = told.splitlines()

    assert re.match(r"about [12],\d{3} events, too many to keep each: \d{3} of them are shown$", lines[2])
    assert "order.placed" in lines[3]
    assert "└─ stock.reserved" in lines[4]
    assert "cause unknown" not in told
