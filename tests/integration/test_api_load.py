"""The API under load, over a real socket: nobody gets an error, and nobody who looks on misses anything."""

import asyncio
from pathlib import Path

from msgspec import structs

from saga.runtime.settings import KafkaSettings
from tests.access_kit import access_of
from tests.api_client import model_of
from tests.api_load import Load, loaded, one_of
from tests.facts import NOON_MS
from tests.unit.test_flow_views import KNOWN, compensating, completed, late, of, open_, stuck
from tracker.api.app import create_app
from tracker.api.context import Context
from tracker.api.server import serve
from tracker.core.saga import encode_saga
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.write import write
from tracker.view.queries.live import Live
from tracker.view.queries.reader import Reader

ASKING, LOOKING = 150, 50
BATCHES, IN_A_BATCH = 20, 25
SETTLE_SECONDS = 60
PLAYS = [of(play) for play in (open_(), completed(), late(), compensating(), stuck())]
SAGAS = {f"s-{number}": PLAYS[number % len(PLAYS)] for number in range(200)}
QUESTIONS = one_of(
    [("search", "sagas"), ("search", "sagas?status=open&order=stalest"), ("search", "sagas?key=o-1042")],
    [("one", f"sagas/{id_}") for id_ in SAGAS],
    [("funnel", "flows/order/funnel"), ("map", "flows/order/map"), ("flows", "flows")],
    [("stuck", "stuck"), ("at risk", "at-risk")],
)


def write_batch(reader: Reader, begin: int) -> None:
    """New sagas, each with the number of its change in its name."""
    some = range(begin, begin + IN_A_BATCH)
    records = [
        Record(0, offset, f"n-{offset}".encode(), encode_saga(structs.replace(PLAYS[0], id=f"n-{offset}")))
        for offset in some
    ]
    with reader.engine.begin() as connection:
        write(connection, "changelog", batch_of(records, KNOWN), {0: (begin, begin + IN_A_BATCH)})


async def test_two_hundred_clients_get_no_error_and_all_changes(tmp_path: Path) -> None:
    reader = model_of(tmp_path, SAGAS)
    live = Live(reader, poll_seconds=0.02)
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    context = Context(settings, reader, live, lambda: KNOWN, lambda: NOON_MS + 600)
    app = create_app(context, access_of(reader.engine))
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, live, "127.0.0.1", 0, url.set_result, stop))
    written = [f"n-{len(SAGAS) + number}" for number in range(BATCHES * IN_A_BATCH)]
    try:
        async with loaded(await url, ASKING, LOOKING, QUESTIONS) as load:
            for number in range(BATCHES):
                await asyncio.to_thread(write_batch, reader, len(SAGAS) + number * IN_A_BATCH)
            await asyncio.wait_for(_all_heard(load, len(written)), SETTLE_SECONDS)
    finally:
        stop.set()
        await serving
        reader.close()
        reader.engine.dispose()

    assert load.errors == []
    assert len(load.answers) >= ASKING
    assert len(load.heard) == LOOKING
    for revisions, ids in load.heard:
        assert ids == written
        assert revisions == sorted(set(revisions))


async def _all_heard(load: Load, count: int) -> None:
    while any(len(ids) < count for _, ids in load.heard):
        await asyncio.sleep(0.05)
