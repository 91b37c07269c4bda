"""Every question has the same answer in SQLite and in PostgreSQL."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from msgspec import to_builtins
from sqlalchemy import Connection, Engine

from tests.bench import lives
from tests.databases import DATABASES, database
from tests.integration.test_feeds import BODIES, LETTERS, letter_headers
from tracker.core.contract.expected import Edge, edge_of
from tracker.core.contract.findings import Kind
from tracker.core.contract.traffic import edges_of
from tracker.core.discovery import trace, variant_id
from tracker.core.saga import Saga, decode_saga
from tracker.core.status import Status
from tracker.view.clocks import RUNNING
from tracker.view.documents.moment import read_timestamp
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.database import open_model
from tracker.view.model.feeds import FeedRecord, set_places, write_feed
from tracker.view.model.search import Order, Wanted
from tracker.view.model.write import begin_anew, write
from tracker.view.queries.attention import risk_list, stuck_list
from tracker.view.queries.dead_letters import WantedLetters, find_letters, letter_groups
from tracker.view.queries.export import FoundCases
from tracker.view.queries.feeds import alerts_page, audit_page, commands_page, model_freshness, one_command
from tracker.view.queries.flows import flow_funnel, flow_history, flow_map, flow_standings, flow_variants
from tracker.view.queries.jobs import saga_ids
from tracker.view.queries.named import named_sagas
from tracker.view.queries.sagas import find_sagas, one_saga, types_of_variant
from tracker.view.queries.services import event_type, service_documents
from tracker.view.queries.standstill import standing_still
from tracker.view.queries.watch import watch_picture

SAGAS = 250
FROM_MS, UNTIL_MS = lives.BEGUN_MS - lives.DAY_MS, lives.BEGUN_MS + 2 * lives.DAY_MS
NOW_MS = lives.BEGUN_MS + 60_000
"""Some are in flight, of these some late and some not."""

KNOWN = lives.known()
ORDER = lives.NAMES[0]
SPAN = FROM_MS, UNTIL_MS
CLOSED = variant_id(tuple(effect.format(ORDER) for _, effect in lives.WAY))
WANTED = (
    Wanted(),
    Wanted(flow=ORDER, flow_version=2),
    Wanted(statuses=frozenset({Status.OPEN, Status.RETRYING})),
    Wanted(service="payments", error="Timeout"),
    Wanted(event_type=f"{ORDER}.declined"),
    Wanted(findings=frozenset({Kind.ORPHAN, Kind.MISSING})),
    Wanted(findings=frozenset({Kind.STUCK})),
    Wanted(waiting_until_ms=NOW_MS),
    Wanted(edge=Edge(f"{ORDER}.reserved", "payments", f"{ORDER}.declined")),
    Wanted(variant=CLOSED, ended_from_ms=FROM_MS, ended_until_ms=UNTIL_MS),
    Wanted(at_risk=True),
    *(Wanted(stand=stand) for stand in sorted(RUNNING)),
)

Question = Callable[[Connection], Any]


def _page(wanted: Wanted, order: Order) -> Question:
    return lambda c: find_sagas(c, KNOWN, wanted, order, 40, NOW_MS)


QUESTIONS: Mapping[str, Question] = {
    **{
        f"sagas {order.value} {place}": _page(wanted, order)
        for place, wanted in enumerate(WANTED)
        for order in Order
    },
    "each saga": lambda c: [
        one_saga(c, KNOWN, lives.saga_id(number).decode(), NOW_MS) for number in range(0, SAGAS, 5)
    ],
    "named by key": lambda c: named_sagas(c, KNOWN, "o-0000000007", NOW_MS),
    "named by its end": lambda c: named_sagas(c, KNOWN, "011", NOW_MS),
    "named by nothing": lambda c: named_sagas(c, KNOWN, "nobody", NOW_MS),
    "ids": lambda c: saga_ids(c, Wanted(flow=ORDER), 30, NOW_MS),
    "stuck": lambda c: stuck_list(c, KNOWN, None, 50, UNTIL_MS),
    "standing still": lambda c: sorted(standing_still(c, KNOWN, UNTIL_MS).items()),
    "stuck of a flow": lambda c: stuck_list(c, KNOWN, ORDER, 5, UNTIL_MS),
    "at risk": lambda c: risk_list(c, KNOWN, None, 50, NOW_MS),
    "watch": lambda c: watch_picture(c, KNOWN, NOW_MS, 20),
    "flows": lambda c: flow_standings(c, KNOWN, NOW_MS),
    "history": lambda c: flow_history(c, KNOWN, ORDER, None, *SPAN),
    "map": lambda c: flow_map(c, KNOWN, ORDER, 2, *SPAN),
    "funnel": lambda c: flow_funnel(c, KNOWN, ORDER, None, *SPAN, UNTIL_MS),
    "types of a variant": lambda c: types_of_variant(c, CLOSED),
    "variants": lambda c: flow_variants(c, KNOWN, f"{lives.NAMES[2]}.placed", None, *SPAN, 20),
    "services": lambda c: service_documents(c, KNOWN, *SPAN),
    "event": lambda c: event_type(c, KNOWN, f"{ORDER}.charged", *SPAN),
    "cases": lambda c: list(FoundCases(c.engine, KNOWN, Wanted(flow=ORDER), NOW_MS)),
    "alerts": lambda c: alerts_page(c, None, "order", 5, None),
    "commands": lambda c: commands_page(c, "s-1", None, 5, None),
    "command": lambda c: one_command(c, "c-1"),
    "audit": lambda c: audit_page(c, "me", None, 5, None),
    "letters": lambda c: find_letters(c, WantedLetters(service="payments"), 5, None),
    "letter groups": lambda c: letter_groups(c, WantedLetters()),
    "freshness": lambda c: model_freshness(c, NOW_MS),
}


@pytest.fixture(scope="module")
def models() -> Iterator[list[Engine]]:
    """Both databases, with the same in them."""
    with database(DATABASES[0]) as one, database(DATABASES[1]) as other:
        engines = [open_model(one), open_model(other)]
        for engine in engines:
            _fill(engine)
        yield engines
        for engine in engines:
            engine.dispose()


def _fill(engine: Engine) -> None:
    told = enumerate(lives.newest(SAGAS, 60_000))
    records = [Record(0, offset, id_, value) for offset, (id_, value) in told]
    with engine.begin() as connection:
        begin_anew(connection, "changelog", "cluster-1", {0: 0})
        write(connection, "changelog", batch_of(records, KNOWN), {0: (0, SAGAS)})
        set_places(connection, "cluster-1", {(topic, 0): 0 for topic in BODIES})
        for topic, body in BODIES.items():
            headers = letter_headers() if topic == LETTERS else ()
            some = [
                FeedRecord(topic, 0, n, NOW_MS, f"c-{n}".encode(), body(f"c-{n}", NOW_MS + n), headers)
                for n in range(7)
            ]
            write_feed(connection, topic, some, {0: (0, len(some))})


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_the_same_answer_in_both(models: list[Engine], name: str) -> None:
    told = []
    for engine in models:
        with engine.connect() as connection:
            told.append(to_builtins(QUESTIONS[name](connection), enc_hook=vars))

    assert told[0] == told[1]
    assert told[0]


def _ids(connection: Connection, wanted: Wanted) -> set[str]:
    page = find_sagas(connection, KNOWN, wanted, Order.NEWEST, SAGAS, NOW_MS)
    return {saga.id for saga in page.sagas}


@pytest.fixture(scope="module")
def folded() -> dict[str, Saga]:
    """The sagas that both databases have been filled with."""
    return {id_.decode(): decode_saga(value) for id_, value in lives.newest(SAGAS, 60_000)}


def test_a_variant_leads_to_the_sagas_that_it_counts(models: list[Engine], folded: dict[str, Saga]) -> None:
    # From the middle of a day on: whole days count.
    span = lives.BEGUN_MS - 1, lives.BEGUN_MS + 1
    for engine in models:
        with engine.connect() as connection:
            for flow in (ORDER, f"{lives.NAMES[2]}.placed"):
                told = flow_variants(connection, KNOWN, flow, None, *span, SAGAS)
                assert told.ended_from is not None
                assert told.ended_until is not None
                from_ms, until_ms = map(read_timestamp, (told.ended_from, told.ended_until))
                assert told.variants
                for variant in told.variants:
                    asked = Wanted(flow, variant=variant.id, ended_from_ms=from_ms, ended_until_ms=until_ms)
                    found = _ids(connection, asked)
                    assert len(found) == variant.sagas
                    assert {trace(folded[id_]).types for id_ in found} == {variant.types}
                    assert types_of_variant(connection, variant.id) == variant.types


def test_an_edge_leads_to_all_that_took_it_and_to_no_others(
    models: list[Engine], folded: dict[str, Saga]
) -> None:
    took = {id_: edges_of(saga) for id_, saga in folded.items()}
    for engine in models:
        with engine.connect() as connection:
            drawn = flow_map(connection, KNOWN, ORDER, None, *SPAN)
            assert sum(edge.count > 0 for edge in drawn.edges) > 7
            for edge in drawn.edges:
                found = _ids(connection, Wanted(edge=edge_of(edge.id)))
                assert found == {id_ for id_, edges in took.items() if edge_of(edge.id) in edges}
                assert len(found) >= edge.count > 0 or not edge.count
