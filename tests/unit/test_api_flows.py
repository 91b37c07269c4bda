"""The API tells of flows what their sagas did, and who should be looked at."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.api_client import client_of, reading
from tests.facts import NOON_MS
from tests.unit.test_flow_views import compensating, completed, late, of, open_, stuck
from tracker.view.queries.reader import Reader

SAGAS = {
    "a-open": of(open_()),
    "b-done": of(completed()),
    "c-late": of(late()),
    "d-back": of(compensating()),
    "e-stuck": of(stuck()),
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("model"), SAGAS) as reader:
        yield reader


@pytest.fixture
async def client(reader: Reader) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(reader, lambda: NOON_MS + 6_000) as client:
        yield client


async def test_flows_tell_where_their_sagas_stand(client: httpx.AsyncClient) -> None:
    (flow,) = (await client.get("/api/v1/flows")).json()["flows"]

    assert (flow["flow"], flow["version"], flow["begins"]) == ("order", 1, "order.placed")
    assert (flow["in_flight"], flow["overdue"], flow["compensating"], flow["stuck"]) == (3, 1, 1, 1)
    assert flow["today"] == {"completed": 2, "failed": 0, "compensated": 0, "cancelled": 0, "breached": 1}
    assert flow["took"]["p50_ms"] >= 0
    standing = {stage["type"]: stage["sagas"] for stage in flow["stages"]}
    assert standing == {"stock.reserved": 1, "parcel.lost": 2}


async def test_a_flow_tells_how_many_ended_lately(reader: Reader) -> None:
    async with client_of(reader, lambda: NOON_MS + 20_000) as client:
        (flow,) = (await client.get("/api/v1/flows")).json()["flows"]

    assert (len(flow["recent"]), sum(flow["recent"])) == (10, 2)


async def test_a_funnel_counts_those_in_flight_too(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/flows/order/funnel")).json()
    stages = {stage["type"]: stage for stage in told["stages"]}

    assert (told["sagas"], told["in_flight"]) == (5, 3)
    assert stages["order.placed"]["passed"] == 5
    assert stages["parcel.dispatched"]["ended"] == 2
    assert stages["stock.reserved"]["overdue"] == 1


async def test_history_has_the_hours_in_which_something_ended(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/flows/order/history")).json()
    (hour,) = told["hours"]

    assert (hour["hour"], hour["completed"], hour["breached"]) == ("2025-10-09T12:00:00.000Z", 2, 1)
    assert told["whole"]["completed"] == 2
    asked = {"from": "2025-10-01T00:00:00Z", "until": "2025-10-02T00:00:00Z"}
    before = (await client.get("/api/v1/flows/order/history", params=asked)).json()
    assert (before["hours"], before["took"]["p50_ms"]) == ([], None)


async def test_the_map_has_what_was_declared_and_what_happened(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/flows/order.placed/map")).json()

    assert told["declared"]
    (edge,) = [each for each in told["edges"] if each["to"] == "parcel.dispatched" and each["count"]]
    assert (edge["from"], edge["count"]) == ("payment.charged", 2)


async def test_variants_are_the_ways_of_those_that_ended(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/flows/order/variants", params={"limit": 1})).json()

    assert told["sagas"] == 2
    assert told["variants"][0]["types"][0] == "order.placed"


async def test_a_flow_file_is_told_as_it_runs(client: httpx.AsyncClient) -> None:
    (version,) = (await client.get("/api/v1/flows/order")).json()["versions"]

    assert (version["version"], version["retired"]) == (1, False)
    assert version["completed"] == ["parcel.dispatched"]


@pytest.mark.parametrize("what", ["", "/history", "/funnel", "/map", "/variants"])
async def test_nobody_has_heard_of_another_flow(client: httpx.AsyncClient, what: str) -> None:
    answer = await client.get(f"/api/v1/flows/ordr{what}")

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:saga:problem:unknown-flow")


async def test_who_is_late_is_at_risk(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/at-risk")).json()

    assert [saga["id"] for saga in told["sagas"]] == ["a-open"]
    assert (await client.get("/api/v1/at-risk", params={"flow": "x"})).json()["sagas"] == []


async def test_who_waits_too_long_is_stuck(reader: Reader) -> None:
    async with client_of(reader, lambda: NOON_MS + 3_600_000) as client:
        told = (await client.get("/api/v1/stuck")).json()

    assert {"a-open", "e-stuck"} <= {saga["id"] for saga in told["sagas"]}
    (waits,) = [saga for saga in told["sagas"] if saga["id"] == "a-open"]
    assert "stuck" in {finding["kind"] for finding in waits["findings"]}
