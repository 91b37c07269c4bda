"""Bulk jobs with a real tracker: each saga gets its command once, whoever is killed meanwhile."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from uuid_utils import uuid7

from saga.local import LocalKafka
from saga.runtime.settings import KafkaSettings
from tests.access_kit import KeptAudit
from tests.api_client import app_of
from tests.integration.test_operator_commands import SECONDS_MAX, Shop
from tests.integration.test_redrive import Shop as LetterShop
from tests.integration.test_redrive import run
from tests.served import served
from tracker.access.access import wall_ms
from tracker.jobs.job import Letters, Sagas
from tracker.jobs.runner import Runner
from tracker.view.model.database import open_model
from tracker.view.model.jobs import JobRow, JobStore
from tracker.view.queries.reader import Reader

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

LEASE_MS = 2_500


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A broker of its own: the names of the tracker's topics are the same for all tests."""
    with LocalKafka() as kafka:
        kafka.start()
        shop = Shop(kafka.bootstrap_servers, tmp_path_factory.mktemp("shop"))
        asyncio.run(shop.prepare())
        shop.tracker.start()
        try:
            yield shop
        finally:
            shop.tracker.end()
            print(shop.tracker.output()[-20_000:])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    engine = open_model(f"sqlite:///{tmp_path}/sagas.db")
    yield JobStore(engine)
    engine.dispose()


def new_job(action: str, about: msgspec.Struct, rate: float = 1_000.0) -> JobRow:
    now_ms = time.time_ns() // 1_000_000
    return JobRow(str(uuid7()), action, "ada", "a test", msgspec.json.encode(about).decode(), rate, now_ms)


@contextlib.asynccontextmanager
async def working(bootstrap_servers: str, store: JobStore) -> AsyncIterator[asyncio.Task[None]]:
    """A runner, killed at the end of the block or before."""
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    task = asyncio.create_task(Runner(settings, store, lease_ms=LEASE_MS).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended(store: JobStore, id_: str) -> JobRow:
    async with asyncio.timeout(SECONDS_MAX):
        while (job := store.job(id_)) is None or not job.ended_ms:
            await asyncio.sleep(0.1)
    return job


def history(shop: Shop, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(shop.saga("show", name, "--json").stdout)["history"]
    return found


async def test_each_saga_of_a_job_gets_its_command_and_the_answer_is_kept(
    shop: Shop, store: JobStore
) -> None:
    await asyncio.to_thread(shop.order, "j-1")
    await asyncio.to_thread(shop.order, "j-2")
    job = store.add(new_job("retry", Sagas({})), ["saga-of-j-1", "saga-of-j-2"])
    noted = store.add(new_job("note", Sagas({})), ["saga-of-j-1", "saga-of-j-2"])
    async with working(shop.bootstrap_servers, store):
        refused = await ended(store, job.id)
        done = await ended(store, noted.id)

    assert (refused.state, json.loads(refused.progress)) == ("done", {"refused": 2})
    assert {item.message for item in store.items(job.id, -1, 9)} == {"the saga is not being compensated"}
    assert (done.state, json.loads(done.progress)) == ("done", {"accepted": 2})
    [act] = [act for act in await asyncio.to_thread(history, shop, "j-1") if act["action"] == "note"]
    assert (act["by"], act["reason"]) == ("ada", "a test")


async def test_a_job_whose_runner_dies_is_gone_on_with_and_no_command_is_obeyed_twice(
    shop: Shop, store: JobStore
) -> None:
    for number in range(3):
        await asyncio.to_thread(shop.order, f"k-{number}")
    job = store.add(new_job("note", Sagas({}), rate=1.0), [f"saga-of-k-{number}" for number in range(3)])
    for _ in range(3):
        async with working(shop.bootstrap_servers, store) as task:
            await asyncio.sleep(1.5)
            task.cancel()
    async with working(shop.bootstrap_servers, store):
        done = await ended(store, job.id)

    assert (done.state, json.loads(done.progress)) == ("done", {"accepted": 3})
    for number in range(3):
        acts = await asyncio.to_thread(history, shop, f"k-{number}")
        assert [act["action"] for act in acts] == ["note"]


async def test_a_job_that_is_aborted_leaves_the_rest_alone(shop: Shop, store: JobStore) -> None:
    await asyncio.to_thread(shop.order, "n-1")  # the tracker is there then, whichever tests ran before
    job = store.add(new_job("note", Sagas({}), rate=1.0), [f"nobody-{number}" for number in range(50)])
    async with working(shop.bootstrap_servers, store):
        await asyncio.sleep(2)
        assert store.abort(job.id, 1), store.job(job.id)
        done = await ended(store, job.id)
    assert done.state == "aborted"
    assert store.counts(job.id)["waiting"] >= 40


async def test_whoever_has_no_broker_redrives_over_http(bootstrap_servers: str, tmp_path: Path) -> None:
    letters = LetterShop(bootstrap_servers)
    name = letters.charge.name
    await letters.fails(4)
    letters.heal()
    reader = Reader(open_model(f"sqlite:///{tmp_path}/sagas.db"))
    audit = KeptAudit()
    app = app_of(reader, wall_ms, kafka=KafkaSettings(bootstrap_servers=bootstrap_servers), audit=audit)
    async with served(app) as url, working(bootstrap_servers, JobStore(reader.engine)):
        listed = await run(bootstrap_servers, "list", name, "--letters", "--json")
        first, second = [each["letter"] for each in json.loads(listed[1])][:2]
        code, out, _ = await run(url, "show", first)
        assert (code, "ConnectionError" in out, "masked as no schema" in out) == (0, True, True)
        shown = await run(url, "show", first, "--unmask", "the customer asks", "--json")
        payload = json.loads(shown[1])["payload"]["payload"]
        mended = tmp_path / "mended.json"
        why = ("--reason", "a test")
        mended.write_text(json.dumps({**payload, "order": "***"}))
        code, _, err = await run(url, "edit", first, "--payload", str(mended), *why)
        assert (code, "/order" in err) == (1, True), err
        mended.write_text(json.dumps({**payload, "amount": 7}))
        assert (await run(url, "edit", first, "--payload", str(mended), *why))[0] == 0
        assert await run(url, "discard", second, *why) == (0, f"{second} is discarded\n", "")
        async with letters.running():
            code, out, err = await run(url, "redrive", name, *why)
        assert (code, out) == (0, "3 redriven, 3 succeeded\n1 left as they are\n"), err
        assert err.endswith("redrive done: 3 redriven, 3 succeeded, 1 left\n")
        assert (await run(url, "show", f"{name}/0/9"))[0] == 1
    reader.close()
    reader.engine.dispose()
    assert sorted(amount for _, amount in letters.charged) == [1, 1, 7]
    told = [(record.action, record.reason) for record in audit.records]
    assert told[:3] == [
        ("unmask", "the customer asks"),
        ("letter.edit", "a test"),
        ("letter.discard", "a test"),
    ]
    assert told[3][0] == "job.redrive"


async def test_a_redrive_is_a_job_that_survives_its_runner(bootstrap_servers: str, store: JobStore) -> None:
    letters = LetterShop(bootstrap_servers)
    await letters.fails(12)
    letters.heal()
    job = store.add(new_job("redrive", Letters(letters.dlq, batch_limit=2), rate=4.0), [])
    async with letters.running():
        async with working(bootstrap_servers, store) as task:
            async with asyncio.timeout(SECONDS_MAX):
                while len(letters.charged) < 3:
                    await asyncio.sleep(0.1)
            task.cancel()
        async with working(bootstrap_servers, store):
            done = await ended(store, job.id)
    assert (done.state, done.message) == ("done", "")
    progress = json.loads(done.progress)
    assert progress["redriven"] == 12
    assert sorted(order for order, _ in letters.charged) == sorted(f"o-{n}" for n in range(12))
    assert len(await letters.back()) == 12
