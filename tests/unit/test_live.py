"""Changes over a real server: told to all, resumed where they were left, and to nobody without bound."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs

from saga.runtime.settings import KafkaSettings
from tests.access_kit import access_of
from tests.api_client import reading
from tests.facts import NOON_MS
from tests.unit.test_flow_views import KNOWN, completed, of, open_
from tracker.api.app import create_app
from tracker.api.context import Context
from tracker.api.live import EventStream
from tracker.api.server import AddressUnavailable, serve
from tracker.core.saga import Saga, encode_saga
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.write import begin_anew, write
from tracker.view.queries import live as live_queries
from tracker.view.queries.live import Live, TooManyWatchers
from tracker.view.queries.reader import Reader


def _bytes(saga: Saga | None, id_: str) -> bytes | None:
    return None if saga is None else encode_saga(structs.replace(saga, id=id_))


class Model:
    """A read model that changes while it is looked at."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._offset = 0

    def put(self, **sagas: Saga | None) -> None:
        records = [
            Record(0, self._offset + index, id_.encode(), _bytes(saga, id_))
            for index, (id_, saga) in enumerate(sagas.items())
        ]
        begin, self._offset = self._offset, self._offset + len(records)
        with self.reader.engine.begin() as connection:
            write(connection, "changelog", batch_of(records, KNOWN), {0: (begin, self._offset)})

    def begin_anew(self) -> None:
        self._offset = 0
        with self.reader.engine.begin() as connection:
            begin_anew(connection, "changelog", "cluster-1", {0: 0})


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Model]:
    with reading(tmp_path, {}) as reader:
        yield Model(reader)


@contextlib.asynccontextmanager
async def served(model: Model) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    """A client of a real server, and the event that stops it."""
    live = Live(model.reader, poll_seconds=0.01)
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    context = Context(settings, model.reader, live, lambda: KNOWN, lambda: NOON_MS)
    app = create_app(context, access_of(model.reader.engine))
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, live, "127.0.0.1", 0, url.set_result, stop))
    try:
        async with httpx.AsyncClient(base_url=await url, timeout=20) as client:
            yield client, stop
    finally:
        stop.set()
        await serving


async def events(answer: httpx.Response) -> AsyncIterator[tuple[int, str, Any]]:
    """Revision, name and data of each event; both are empty where only the revision is told."""
    told: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            told[name] = value
        elif told:
            yield int(told["id"]), told.get("event", ""), json.loads(told.get("data", "null"))
            told = {}


async def test_what_changes_is_told_to_all_who_look_on(model: Model) -> None:
    async with (
        served(model) as (client, _),
        client.stream("GET", "/api/v1/live") as one,
        client.stream("GET", "/api/v1/live", params={"flow": "order", "saga": "b"}) as other,
    ):
        assert one.headers["content-type"].startswith("text/event-stream")
        every, some = events(one), events(other)
        await anext(every), await anext(some)
        model.put(a=of(open_()))
        _, name, told = await anext(every)
        assert (name, [saga["id"] for saga in told["sagas"]]) == ("sagas", ["a"])
        assert (told["sagas"][0]["status"], told["sagas"][0]["where"]) == ("open", "stock.reserved")
        model.put(a=of(completed()), b=of(open_()))
        _, _, told = await anext(every)
        assert {saga["id"]: saga["status"] for saga in told["sagas"]} == {"a": "completed", "b": "open"}
        while (first := await anext(some))[1] != "sagas":
            pass
        assert [saga["id"] for saga in first[2]["sagas"]] == ["b"]
        model.put(a=None)
        assert (await anext(every))[2]["removed"] == ["a"]


async def test_who_comes_again_misses_nothing(model: Model) -> None:
    async with served(model) as (client, _):
        async with client.stream("GET", "/api/v1/live") as answer:
            revision, _, _ = await anext(events(answer))
        model.put(a=of(open_()))
        model.put(b=of(open_()), a=of(completed()))
        async with client.stream("GET", "/api/v1/live", headers={"Last-Event-ID": str(revision)}) as answer:
            told = events(answer)
            await anext(told)
            _, _, missed = await anext(told)
            assert {saga["id"]: saga["status"] for saga in missed["sagas"]} == {"a": "completed", "b": "open"}
            model.put(c=of(open_()))
            _, _, new = await anext(told)
            assert [saga["id"] for saga in new["sagas"]] == ["c"]


@pytest.mark.parametrize("stale", [1, 10**9])
async def test_who_can_not_be_told_what_was_missed_is_told_to_begin_anew(model: Model, stale: int) -> None:
    model.put(a=of(open_()))
    model.put(b=of(open_()))
    model.begin_anew()
    async with served(model) as (client, _):
        headers = {"Last-Event-ID": str(stale)}
        async with client.stream("GET", "/api/v1/live", headers=headers) as answer:
            told = events(answer)
            await anext(told)
            _, name, data = await anext(told)
            assert (name, list(data)) == ("reset", ["revision"])
            model.put(a=of(open_()))
            assert (await anext(told))[0] > data["revision"]


async def test_streams_end_when_the_server_does(model: Model) -> None:
    async with served(model) as (client, stop), client.stream("GET", "/api/v1/live") as answer:
        told = events(answer)
        await anext(told)
        stop.set()
        assert [each async for each in told] == []


async def test_who_is_too_slow_is_left_behind_and_may_come_again(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_queries, "WAITING_MAX", 2)
    live = Live(model.reader, poll_seconds=0.001)
    slow, quick = live.changes(), live.changes()
    await anext(slow), await anext(quick)
    put: set[str] = set()
    while live.looking == 2:
        coming = asyncio.ensure_future(anext(quick))
        new = f"s-{len(put)}"
        put.add(new)
        await asyncio.to_thread(model.put, **{new: of(open_())})
        await coming

    told = [each async for each in slow]
    again = live.changes(told[-1].revision if told else 0)
    told += [await anext(again)]
    while {saga.id for each in told for saga in each.sagas} != put:
        told.append(await anext(again))
    for each in (quick, again):
        await each.aclose()
    await live.end()


async def test_more_than_can_be_served_are_refused(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_queries, "LOOKING_MAX", 1)
    live = Live(model.reader)
    one = live.changes()
    await anext(one)
    with pytest.raises(TooManyWatchers):
        await anext(live.changes())
    await one.aclose()
    other = live.changes()
    await anext(other)
    await other.aclose()


async def test_who_takes_nothing_is_cut_off() -> None:
    ended = asyncio.Event()

    async def lines() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b": much\n\n"
        finally:
            ended.set()

    async def never(*_: object) -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await never()

    stream = EventStream(lines(), send_seconds=0.01)
    await stream({"type": "http"}, never, send)
    assert ended.is_set()


async def test_an_address_that_is_taken_is_told(model: Model) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        live = Live(model.reader)
        context = Context(KafkaSettings(), model.reader, live, lambda: KNOWN, lambda: NOON_MS)
        app = create_app(context, access_of(model.reader.engine))
        with pytest.raises(AddressUnavailable, match="in use"):
            await serve(app, live, "127.0.0.1", taken.getsockname()[1], print, asyncio.Event())
