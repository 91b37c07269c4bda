"""What the CLI prints with --url is what it prints of Kafka; and whatever is wrong is one sentence."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from msgspec import json, structs

from tests.access_kit import put_user
from tests.api_client import app_of, reading
from tests.facts import NOON_MS
from tests.served import free_port, served
from tests.unit.test_flow_views import KNOWN, compensating, completed, late, of, open_, stuck
from tracker.access.role import Role
from tracker.cli.remote import PLAIN, TOKEN, Refused, ServerUnreachable, UnusableUrl, remote
from tracker.cli.remote_flows import flow_funnel, flow_map, flow_variants, watch_flows
from tracker.cli.remote_sagas import NotOverHttp, list_orphans, list_sagas, show_saga
from tracker.core.contract.findings import Kind
from tracker.core.saga import encode_saga
from tracker.core.status import Status
from tracker.view.changelog import Change
from tracker.view.contract import FlowContract
from tracker.view.documents.flow import funnel_document, map_document, variants_document
from tracker.view.documents.row import saga_summary
from tracker.view.documents.watch import watch_document
from tracker.view.live import Live
from tracker.view.queries.reader import Reader
from tracker.view.sagas import Sagas
from tracker.view.selection import Selection, Sort

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW_MS = NOON_MS + 6_000
SAGAS = {
    id_: structs.replace(saga, id=id_)
    for id_, saga in {
        "a-open-0000000a": of(open_()),
        "b-done-0000000b": of(completed()),
        "c-late-0000000c": of(late()),
        "d-back-0000000d": of(compensating()),
        "e-stuck-000000e": of(stuck()),
    }.items()
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("model"), SAGAS) as reader:
        yield reader


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(reader: Reader) -> AsyncIterator[str]:
    async with served(app_of(reader, lambda: NOW_MS)) as url:
        yield url


@pytest.fixture(scope="module")
def local() -> Sagas:
    """The same sagas as `saga list` reads them from Kafka."""
    found = Sagas(KNOWN)
    found.put(Change(id_, encode_saga(saga), NOON_MS) for id_, saga in SAGAS.items())
    return found


@contextlib.asynccontextmanager
async def answering(handle: object) -> AsyncIterator[str]:
    """The URL of a server that is none of ours."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def followed(url: str) -> None:
    """Until it ends."""
    async with remote(url) as server, asyncio.timeout(30):
        async for _ in server.beats(0.0):
            pass


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(statuses=frozenset({Status.OPEN, Status.COMPLETED})),
        Selection(flow="order"),
        Selection(flow="order.placed", key="o-1042"),
        Selection(waiting_for="inventory"),
        Selection(older_than_ms=1_000),
        Selection(findings=frozenset({Kind.STUCK})),
        Selection(key="nothing"),
    ],
)
async def test_a_list_is_the_same(url: str, local: Sagas, selection: Selection, sort: Sort) -> None:
    rows, _ = local.listed(selection, sort, 50, NOW_MS)
    told = await list_sagas(url, selection, sort, 50, at_risk=False)

    expected = [saga_summary(row, NOW_MS, None, local.findings(row, NOW_MS)) for row in rows]
    assert sorted(saga.id for saga in told.sagas) == sorted(saga.id for saga in expected)
    if sort is not Sort.LAST:  # of sagas that moved in the same millisecond any may be the first
        assert told.sagas == expected
    assert (told.any, told.total) == (True, len(rows))


async def test_a_list_can_be_asked_for_a_variant_or_an_edge(url: str) -> None:
    (variant,) = (await flow_variants(url, "order", 0)).variants
    edge = "payment.charged,orders,parcel.lost"
    for selection, expected in (
        (Selection(variant=variant.id), {"b-done-0000000b", "c-late-0000000c"}),
        (Selection(edge=edge), {"d-back-0000000d", "e-stuck-000000e"}),
    ):
        told = await list_sagas(url, selection, Sort.STATUS, 50, at_risk=False)
        assert {saga.id for saga in told.sagas} == expected

    with pytest.raises(NotOverHttp, match="at-risk"):
        await list_sagas(url, Selection(edge=edge), Sort.STATUS, 50, at_risk=True)
    with pytest.raises(NotOverHttp, match="'x' is no edge like"):
        await list_sagas(url, Selection(edge="x"), Sort.STATUS, 50, at_risk=False)


async def test_a_list_that_is_cut_says_that_there_is_more(url: str) -> None:
    told = await list_sagas(url, Selection(), Sort.STATUS, 2, at_risk=False)

    assert (len(told.sagas), told.total) == (2, None)


async def test_those_at_risk_are_the_same(url: str, local: Sagas) -> None:
    told = await list_sagas(url, Selection(), Sort.STATUS, 50, at_risk=True)

    rows, _ = local.at_risk(Selection(), 50, NOW_MS)
    assert [(saga.id, saga.forecast) for saga in told.sagas] == [
        (row.id, local.summary(row, NOW_MS).forecast) for row in rows
    ]


@pytest.mark.parametrize("text", ["e-stuck-000000e", "000000e", "e-stuck", "…000000e"])
async def test_a_saga_is_found_by_either_end_of_its_id(url: str, text: str) -> None:
    found = await show_saga(url, text)

    assert found is not None
    assert found.id == "e-stuck-000000e"


async def test_what_is_meant_by_several_is_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await show_saga(url, "o-1042") is None
    told = capsys.readouterr()
    assert "5 sagas match o-1042; give more of the id:" in told.err
    assert all(f"…{id_[-8:]}" in told.out for id_ in SAGAS)

    assert await show_saga(url, "e-stack") is None
    told = capsys.readouterr()
    assert "no saga has the id or the business key e-stack" in told.err
    assert "stuck" in told.out


async def test_flows_are_the_same(url: str) -> None:
    contract = FlowContract("order", "order.placed", KNOWN.flows.newest("order"), KNOWN)
    contract.take(encode_saga(saga) for saga in SAGAS.values())

    funnel, _ = await flow_funnel(url, "order")
    expected = funnel_document(contract, contract.stuck(NOW_MS), contract.overdue(NOW_MS))
    for stage, other in zip(funnel.stages, expected.stages, strict=True):
        assert structs.replace(stage, after_ms=0) == structs.replace(other, after_ms=0)
    assert structs.replace(funnel, stages=[]) == structs.replace(expected, stages=[])
    variants = await flow_variants(url, "order", 0)
    assert variants == variants_document("order", contract.traffic.variants, None)
    assert (await flow_variants(url, "order", 1)).variants == variants.variants[:1]
    map_, _ = await flow_map(url, "order")
    assert [event.type for event in map_.events] == [event.type for event in map_document(contract).events]


async def test_what_is_in_flight_is_the_same(url: str, local: Sagas) -> None:
    async with contextlib.aclosing(watch_flows(url, 0.01, lambda: 20)) as pictures:
        told = await anext(pictures)
    expected = watch_document(Live(local), NOW_MS, 20)

    assert told.flows == expected.flows
    assert (told.in_flight, told.unreadable) == (expected.in_flight, expected.unreadable)
    assert [saga.id for saga in told.oldest] == [saga.id for saga in expected.oldest]


async def test_what_the_server_refuses_is_told_in_its_words(url: str) -> None:
    with pytest.raises(Refused, match=r"no flow 'ordre'.*did you mean order"):
        await flow_funnel(url, "ordre")
    both = Selection(findings=frozenset({Kind.STUCK, Kind.MISSING}))
    with pytest.raises(Refused, match="what is stuck is found by itself"):
        await list_sagas(url, both, Sort.AGE, 50, at_risk=False)
    with pytest.raises(NotOverHttp, match="--last from 1"):
        await list_orphans(url, [], 0, 20)


async def test_nobody_there_is_told_with_the_url() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(ServerUnreachable, match=nobody):
        await show_saga(nobody, "x")
    with pytest.raises(ServerUnreachable, match=nobody):
        await followed(nobody)


async def test_without_a_token_or_with_a_wrong_one_it_says_what_to_do(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_user(tmp_path / "users", "ada", Role.ADMIN)
    async with served(app_of(reader, access_users_file=tmp_path / "users")) as url:
        with pytest.raises(Refused, match=r"An API token goes into SAGA_TOKEN \(it is empty\)"):
            await show_saga(url, "x")
        monkeypatch.setenv(TOKEN, "saga_wrong")
        with pytest.raises(Refused, match="is it the right one, and has it not expired"):
            await show_saga(url, "x")


@pytest.mark.parametrize(
    ("url", "token", "why"),
    [
        ("http://sagas.example.com", "saga_x", "over plain http, where others can read it"),
        ("http://127.0.0.1.example.com", "saga_x", "over plain http"),
        ("http://[::2]:80", "saga_x", "over plain http"),
        ("https://ada:secret@sagas.example.com", "", "leave them out"),
        ("sagas.example.com", "", "no URL of a server"),
        ("ftp://sagas.example.com", "", "no URL of a server"),
        ("http://[::1", "", "no URL"),
        ("http://127.0.0.1:99999", "", "no URL"),
        ("https://sagas.example.com", "a\nb", "holds no API token"),
    ],
)
async def test_what_can_not_be_used_is_refused_before_anything_is_sent(
    url: str, token: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(UnusableUrl, match=why) as refused:
        await show_saga(url, "x")
    assert "secret" not in str(refused.value)


async def test_who_owns_the_network_may_send_a_token_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "saga_x")
    monkeypatch.setenv(PLAIN, "1")
    async with remote("http://sagas.example.com"):
        pass


async def test_a_token_does_not_follow_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        heard.append(request.headers.get("authorization", ""))
        return web.json_response({})

    monkeypatch.setenv(TOKEN, "saga_x")
    async with answering(elsewhere) as other:

        async def away(request: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(f"{other}{request.path}")

        async with answering(away) as url:
            with pytest.raises(ServerUnreachable, match="answers with status 307"):
                await show_saga(url, "x")
    assert heard == []


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"sagas": 1}', b"\xff"])
async def test_what_is_no_dashboard_is_told(body: bytes) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=body)

    async with answering(handle) as url:
        with pytest.raises(ServerUnreachable, match="is it a `saga dashboard` of the same version"):
            await show_saga(url, "x")


async def test_a_stream_that_breaks_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.headers.get("last-event-id"))
        return web.Response(body=b"id: %d\n\n" % (40 + len(asked)), content_type="text/event-stream")

    monkeypatch.setattr("tracker.cli.remote._AGAIN_SECONDS", 0.0)
    async with answering(handle) as url, remote(url) as server, asyncio.timeout(30):
        async for _ in server.beats(0.0):
            if len(asked) > 2:
                break
    assert asked[:3] == [None, "41", "42"]


async def test_a_stream_that_is_refused_later_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.headers.get("last-event-id"))
        if len(asked) == 1:
            return web.Response(body=b"id: 1\n\n", content_type="text/event-stream")
        return web.Response(body=b"{}", status=401, content_type="application/problem+json")

    monkeypatch.setattr("tracker.cli.remote._AGAIN_SECONDS", 0.0)
    async with answering(handle) as url:
        with pytest.raises(Refused, match="SAGA_TOKEN"):
            await followed(url)


async def test_a_picture_stays_while_the_server_does_not_answer_and_grows_old(local: Sagas) -> None:
    picture = json.encode(watch_document(Live(local, as_of_ms=NOW_MS), NOW_MS, 20))
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/live"):
            return web.Response(body=b"id: 1\n\n", content_type="text/event-stream")
        asked.append(request.path)
        if len(asked) == 2:
            return web.Response(status=502, text="no upstream")
        return web.Response(body=picture, content_type="application/json")

    async with (
        answering(handle) as url,
        contextlib.aclosing(watch_flows(url, 0.01, lambda: 20)) as pictures,
    ):
        first, second, third = [await anext(pictures) for _ in range(3)]
    assert second.flows == first.flows
    assert first.as_of_ms_ago == third.as_of_ms_ago == 0
    assert second.as_of_ms_ago


async def test_a_model_that_nobody_writes_is_told_of(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    await list_sagas(url, Selection(), Sort.AGE, 50, at_risk=False)

    told = capsys.readouterr().err
    assert "read model of the server is empty, and nobody keeps it up to date: start `saga project`" in told
    async for picture in watch_flows(url, 0.01, lambda: 20):
        assert picture.as_of_ms_ago is None
        break
