"""The database in the hands of its one projector: who has it, and what reads otherwise than before."""

from collections.abc import Iterator

import pytest
from msgspec import structs
from sqlalchemy import Engine, select

from saga.runtime.kafka import ConsumerRecord
from tests.databases import DATABASES, database
from tests.play import services
from tests.records import record_of
from tests.unit.test_flow_views import KNOWN, compensating, completed, late, of, open_, stuck
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, encode_saga
from tracker.view.known import Known
from tracker.view.model.changes import newest_revision
from tracker.view.model.database import open_model
from tracker.view.model.freshness import Projected, Tracked, freshness
from tracker.view.model.projection import Projection, Taken, open_projection
from tracker.view.model.search import Order, Wanted, search
from tracker.view.model.tables import sagas

PLAYS = [of(play) for play in (open_(), completed(), late(), compensating(), stuck())]
SAGAS = 25
PLACE = SAGAS_CHANGELOG_TOPIC, 0
NOW_MS = 1_800_000_000_000


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with database(request.param) as url:
        engine = open_model(url)
        yield engine
        engine.dispose()


def opened(engine: Engine) -> Projection:
    found = open_projection(engine)
    assert found is not None
    return found


def begun(projection: Projection, known: Known) -> None:
    projection.begin("c-1", {PLACE: 0}, [], Projected(), another_cluster=False, anew=True)
    assert not projection.know(known), "there is nothing yet that could differ"


def records(first: int = 0, count: int = SAGAS) -> list[ConsumerRecord[bytes, bytes]]:
    return [
        record_of(
            (),
            encode_saga(structs.replace(PLAYS[n % len(PLAYS)], id=f"s-{n:02}")),
            topic=SAGAS_CHANGELOG_TOPIC,
            offset=n,
            key=f"s-{n:02}".encode(),
        )
        for n in range(first, first + count)
    ]


def put(projection: Projection, first: int = 0, count: int = SAGAS) -> None:
    taken = Taken(records(first, count), {0: (first, first + count)})
    projection.write({SAGAS_CHANGELOG_TOPIC: taken}, Projected())


def rows(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return list(search(connection, Wanted(), Order.OLDEST, 1_000, NOW_MS).rows)


def revision(engine: Engine) -> int:
    with engine.connect() as connection:
        return newest_revision(connection)


def reread(projection: Projection, sagas_max: int = 4) -> None:
    while projection.rereading:
        projection.reread(sagas_max)


def test_one_has_the_database_and_the_next_one_gets_it_when_it_is_closed(engine: Engine) -> None:
    first = opened(engine)
    assert open_projection(engine) is None

    first.close()

    second = opened(engine)
    assert open_projection(engine) is None
    second.close()


def test_sagas_read_as_if_the_flows_had_been_known_from_the_beginning(engine: Engine) -> None:
    projection = opened(engine)
    begun(projection, KNOWN)
    put(projection)
    expected = rows(engine)

    begun(projection, Known())
    put(projection)
    assert rows(engine) != expected
    assert projection.know(KNOWN)
    reread(projection)

    assert rows(engine) == expected
    projection.close()


def test_what_reads_the_same_is_not_written_again(engine: Engine) -> None:
    projection = opened(engine)
    # Whoever is charged for then waits for nobody.
    begun(projection, Known(services("shipping"), KNOWN.flows))
    put(projection)
    before, read = revision(engine), rows(engine)
    assert projection.know(KNOWN)
    reread(projection)

    changed = len([row for row in rows(engine) if row not in read])
    assert 0 < changed < SAGAS
    assert revision(engine) == before + changed
    projection.close()


def test_who_dies_while_reading_again_leaves_that_to_the_next_one(engine: Engine) -> None:
    first = opened(engine)
    begun(first, KNOWN)
    put(first)
    expected = rows(engine)
    begun(first, Known())
    put(first)
    assert first.know(KNOWN)
    first.reread(4)
    first.close()

    second = opened(engine)
    assert second.know(KNOWN)
    reread(second)
    assert rows(engine) == expected
    second.close()

    third = opened(engine)
    assert not third.know(KNOWN)
    assert third.know(Known()), "what was read by others is read again, even if those were known before"
    third.close()


def test_what_comes_meanwhile_is_read_once(engine: Engine) -> None:
    projection = opened(engine)
    begun(projection, KNOWN)
    put(projection)
    expected = rows(engine)
    begun(projection, Known())
    put(projection, 0, 20)
    assert projection.know(KNOWN)
    projection.reread(4)
    put(projection, 20, 5)
    reread(projection)

    assert rows(engine) == expected
    projection.close()


def test_a_batch_that_fails_leaves_nothing(engine: Engine) -> None:
    projection = opened(engine)
    begun(projection, KNOWN)
    taken = Taken(records(), {0: (1, SAGAS)})  # it stands at 0

    with pytest.raises(Exception, match="does not stand at 1"):
        projection.write({SAGAS_CHANGELOG_TOPIC: taken}, Projected(as_of_ms=NOW_MS))
    projection.close()

    with engine.connect() as connection:
        assert connection.execute(select(sagas.c.id)).all() == []
        assert freshness(connection, NOW_MS).as_of_ms == 0


def test_how_fresh_it_is(engine: Engine) -> None:
    with engine.connect() as connection:
        never = freshness(connection, NOW_MS)
    assert (never.alive, never.as_of_ms, never.building, never.built) == (False, 0, True, 0.0)

    projection = opened(engine)
    begun(projection, KNOWN)
    said = Projected("host:1", NOW_MS, NOW_MS - 800, 0, 12, True, 30, 40)
    projection.write({}, said)
    with engine.connect() as connection:
        now = freshness(connection, NOW_MS)
        later = freshness(connection, NOW_MS + 60_000)
    assert (now.alive, now.age_ms, now.lag_records, now.built) == (True, 800, 12, 0.75)
    assert (later.alive, later.age_ms) == (False, 60_800)
    projection.write({}, structs.replace(said, building=False, beat_ms=0))
    with engine.connect() as connection:
        ended = freshness(connection, NOW_MS)
    assert (ended.alive, ended.built) == (False, 1.0)
    assert (never.tracker, ended.tracker) == (None, None)
    projection.close()


@pytest.mark.parametrize(
    ("tracker_age_ms", "age_ms"), [(300, 800), (5_000, 5_000)], ids=["tracker ahead", "tracker behind"]
)
def test_it_is_as_fresh_as_the_tracker_and_the_projector(
    engine: Engine, tracker_age_ms: int, age_ms: int
) -> None:
    projection = opened(engine)
    begun(projection, KNOWN)
    said = Projected(beat_ms=NOW_MS, as_of_ms=NOW_MS - 800, building=False, tracker_lag_records=7)
    told = structs.replace(said, tracker_as_of_ms=NOW_MS - tracker_age_ms, tracker_at_work=True)
    projection.write({}, told)
    with engine.connect() as connection:
        found = freshness(connection, NOW_MS)
    assert (found.age_ms, found.projector_age_ms) == (age_ms, 800)
    assert found.tracker == Tracked(NOW_MS - tracker_age_ms, tracker_age_ms, 7, True)
    projection.close()
