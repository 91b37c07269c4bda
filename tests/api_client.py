"""The API over a read model that a test has written: no socket, a real SQLite file."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from msgspec import structs

from saga.runtime.settings import KafkaSettings
from tests.access_kit import access_of
from tests.facts import NOON_MS
from tests.unit.test_flow_views import KNOWN
from tracker.api.app import create_app
from tracker.api.context import Context
from tracker.core.saga import Saga, encode_saga
from tracker.view.known import Known
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.database import open_model
from tracker.view.model.write import begin_anew, write
from tracker.view.queries.live import Live
from tracker.view.queries.reader import Reader


def model_of(path: Path, sagas: Mapping[str, Saga], known: Known = KNOWN) -> Reader:
    """A reader of a new database with these sagas, by id."""
    engine = open_model(f"sqlite:///{path}/sagas.db")
    records = [
        Record(0, offset, id_.encode(), encode_saga(structs.replace(saga, id=id_)))
        for offset, (id_, saga) in enumerate(sagas.items())
    ]
    with engine.begin() as connection:
        begin_anew(connection, "changelog", "cluster-1", {0: 0})
        write(connection, "changelog", batch_of(records, known), {0: (0, len(records))})
    return Reader(engine)


@contextlib.contextmanager
def reading(path: Path, sagas: Mapping[str, Saga]) -> Iterator[Reader]:
    """The same, closed at the end."""
    reader = model_of(path, sagas)
    try:
        yield reader
    finally:
        reader.close()
        reader.engine.dispose()


NO_KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def app_of(
    reader: Reader,
    now_ms: Callable[[], int] = lambda: NOON_MS + 600,
    known: Known = KNOWN,
    kafka: KafkaSettings = NO_KAFKA,
    **access: Any,
) -> FastAPI:
    """The API over this read model; `access` are settings of it."""
    context = Context(kafka, reader, Live(reader), lambda: known, now_ms)
    return create_app(context, access_of(reader.engine, now_ms, **access))


@contextlib.asynccontextmanager
async def client_of(
    reader: Reader, now_ms: Callable[[], int] = lambda: NOON_MS + 600, known: Known = KNOWN
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API over this read model."""
    transport = httpx.ASGITransport(app_of(reader, now_ms, known), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
