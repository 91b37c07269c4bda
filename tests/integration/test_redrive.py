"""Dead letters of services that fail and are mended, on a real Kafka."""

import asyncio
import itertools
import json
import os
import random
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from saga import ONCE, Event, Publisher, Retry, Service, ServiceSettings
from saga.runtime.kafka import Topic, ensure_topics
from saga.runtime.worker import Worker
from tests.integration.auditor import committed_records
from tests.integration.processes import Process
from tracker.core.dead_letter import Place
from tracker.core.redrive import Selection, State
from tracker.runtime.letter import RedriveRefused, discard_letter, edit_letter
from tracker.runtime.redrive import Manner, Progress, redrive
from tracker.view.dead_letters import Standing, read_letters, read_whole_letter

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

SECONDS_MAX = 60
SAGA = Path(sys.executable).with_name("saga")
RETRIED = Retry(attempts=2, delays=["50ms"], in_place="0ms")
numbers = itertools.count(1)


class Shop:
    """A topic with two subscribers: `charge`, which fails as long as it is `broken`, and `watch`."""

    def __init__(self, bootstrap_servers: str, retry: Retry = ONCE) -> None:
        number = next(numbers)
        self.topic = f"redrive-{number}"
        self.settings = ServiceSettings(
            bootstrap_servers=bootstrap_servers, session_timeout_ms=6_000, transaction_timeout_ms=3_000
        )
        self.broken: Callable[[str], bool] = lambda order: True
        self.charged: list[tuple[str, int]] = []
        self.watched: list[str] = []

        class Placed(Event, topic=self.topic, type=f"placed-{number}", key="order"):
            order: str
            amount: int = 1

        self.placed = Placed
        self.charge = Service(f"charge-{number}")
        self.watch = Service(f"watch-{number}")

        @self.charge.on(Placed, retry=retry)
        async def charge(placed: Placed) -> None:
            if self.broken(placed.order):
                raise ConnectionError(f"no provider for {placed.order}")
            self.charged.append((placed.order, placed.amount))

        @self.watch.on(Placed)
        async def watch(placed: Placed) -> None:
            self.watched.append(placed.order)

    @property
    def dlq(self) -> str:
        return f"saga.dlq.{self.charge.name}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Both services, as if they had just been started: they remember no event."""
        workers = [Worker(service, self.settings) for service in (self.charge, self.watch)]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            yield
        finally:
            for worker in workers:
                worker.stop()
            await asyncio.wait_for(asyncio.gather(*tasks), SECONDS_MAX)

    async def fails(self, count: int) -> None:
        """So many orders, each of which ends as a dead letter."""
        outside = Service(f"outside-{self.topic}", publishes=[self.placed])
        async with self.running():
            async with Publisher(outside, self.settings) as publisher:
                await publisher.publish_all([self.placed(order=f"o-{n}") for n in range(count)])
            async with asyncio.timeout(SECONDS_MAX):
                while len(await self.letters()) < count or len(self.watched) < count:
                    await asyncio.sleep(0.1)

    async def letters(self) -> list[Standing]:
        return (await read_letters(self.settings, [self.dlq])).found

    async def states(self) -> Counter[State]:
        return Counter(standing.state for standing in await self.letters())

    async def redrive(self, *letters: Place, stop: asyncio.Event | None = None, **manner: object) -> Progress:
        async def told(progress: Progress) -> None:
            return

        how = Manner("ada", "mended", f"b-{next(numbers)}", rate=1_000.0)._replace(**manner)  # type: ignore[arg-type]
        return await redrive(self.settings, Selection(self.dlq, letters), how, told, stop or asyncio.Event())

    async def back(self) -> list[str]:
        """The letters of the records that came back, one for each."""
        return [
            dict(record.headers)["saga_redrive_letter"].decode()
            async for record in committed_records(self.settings.bootstrap_servers, [self.topic])
            if "saga_redrive_letter" in dict(record.headers)
        ]

    def heal(self) -> None:
        self.broken = lambda order: False


@pytest.mark.parametrize("retry", [ONCE, RETRIED], ids=["at-once", "after-retries"])
async def test_redriven_letters_succeed_once_and_nobody_else_handles_them(
    bootstrap_servers: str, retry: Retry
) -> None:
    shop = Shop(bootstrap_servers, retry)
    await shop.fails(20)
    shop.heal()
    async with shop.running():
        progress = await shop.redrive()

    assert (progress.redriven, dict(progress.heard), progress.stopped) == (20, {"succeeded": 20}, "")
    assert Counter(order for order, _ in shop.charged) == Counter(f"o-{n}" for n in range(20))
    assert Counter(shop.watched) == Counter(f"o-{n}" for n in range(20))
    assert await shop.states() == {"succeeded": 20}
    again = await shop.redrive()
    assert (again.redriven, dict(again.left)) == (0, {"it is succeeded already": 20})
    assert len(await shop.back()) == 20


async def test_the_instance_that_gave_an_event_up_handles_it_when_it_comes_back(
    bootstrap_servers: str,
) -> None:
    shop = Shop(bootstrap_servers, RETRIED)
    outside = Service(f"outside-{shop.topic}", publishes=[shop.placed])
    async with shop.running(), Publisher(outside, shop.settings) as publisher:
        await publisher.publish(shop.placed(order="o-1"))
        async with asyncio.timeout(SECONDS_MAX):
            while not await shop.letters():
                await asyncio.sleep(0.1)
        shop.heal()
        assert (await shop.redrive()).heard == {"succeeded": 1}

    assert shop.charged == [("o-1", 1)]


async def test_a_redrive_stops_when_too_many_fail_again_and_goes_on_when_it_is_mended(
    bootstrap_servers: str,
) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(10)
    async with shop.running():
        progress = await shop.redrive()
        assert (progress.redriven, progress.stopped) == (1, "1 of the last 1 failed again")
        assert await shop.states() == {"waiting": 10, "failed-again": 1}
        [newest] = [each.letter for each in await shop.letters() if each.letter.replays]
        assert (newest.replays, newest.original.topic) == (1, shop.topic)
        shop.heal()
        assert (await shop.redrive()).redriven == 10
    assert sorted(order for order, _ in shop.charged) == sorted(f"o-{n}" for n in range(10))
    assert await shop.states() == {"succeeded": 10, "failed-again": 1}


async def test_a_service_that_does_not_answer_stops_the_redrive(bootstrap_servers: str) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(3)
    progress = await shop.redrive(wait_seconds=1.0)

    assert progress.redriven == 1
    assert progress.stopped == f"{shop.charge.name} did not answer (is it running?)"
    shop.heal()
    async with shop.running():  # what it handles now is found by the next redrive
        async with asyncio.timeout(SECONDS_MAX):
            while not shop.charged:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        await shop.redrive()
    assert await shop.states() == {"succeeded": 3}


async def test_what_fails_again_and_again_is_parked_and_left_alone_until_it_is_named(
    bootstrap_servers: str,
) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(2)
    async with shop.running():
        for _ in range(2):
            assert (await shop.redrive(failed_max=1.0, replays_max=2)).redriven == 2
        parked = await shop.redrive(failed_max=1.0, replays_max=2)
        assert (parked.redriven, parked.parked) == (0, 2)
        assert (await shop.redrive(replays_max=2)).left == {
            "it is parked already": 2,
            "it is failed-again already": 4,
        }
        shop.heal()
        [one, other] = [each.letter.at for each in await shop.letters() if each.state == "parked"]
        assert (await shop.redrive(one, replays_max=2)).heard == {"succeeded": 1}
        assert (await shop.redrive(one)).left == {"it is succeeded already": 1}
    assert len(shop.charged) == 1
    assert await shop.states() == {"failed-again": 4, "succeeded": 1, "parked": 1}
    topic = f"saga.parked-letters.{shop.charge.name}"
    kept = [record async for record in committed_records(bootstrap_servers, [topic])]
    whole = await read_whole_letter(shop.settings, other)
    assert len(kept) == 2
    assert (whole.value, list(whole.headers)) in [(record.value, list(record.headers)) for record in kept]


async def test_an_edited_letter_is_redriven_with_its_new_payload(bootstrap_servers: str) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(1)
    [standing] = await shop.letters()
    at = standing.letter.at
    original = (await read_whole_letter(shop.settings, at)).value
    await edit_letter(shop.settings, at, b'{"order": "o-0", "amount": 1}', "eva", "a first try")
    await edit_letter(shop.settings, at, b'{"order": "o-0", "amount": 7}', "eva", "the amount was wrong")
    assert await shop.states() == {"edited": 1}
    shop.heal()
    async with shop.running():
        await shop.redrive()
    assert shop.charged == [("o-0", 7)]
    [after] = await shop.letters()
    assert after.treatment is not None
    assert (after.state, after.treatment.edited_by, after.treatment.by) == ("succeeded", "eva", "ada")
    [record] = [
        record
        async for record in committed_records(bootstrap_servers, [shop.topic])
        if record.value != original
    ]
    assert dict(record.headers)["saga_redrive_original"] == original
    with pytest.raises(RedriveRefused, match="succeeded already"):
        await edit_letter(shop.settings, at, b"{}", "eva", "too late")


async def test_a_discarded_letter_is_left_alone_until_it_is_named(bootstrap_servers: str) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(2)
    [first, _] = [each.letter.at for each in await shop.letters()]
    await discard_letter(shop.settings, first, "eva", "cancelled by phone")
    shop.heal()
    async with shop.running():
        assert (await shop.redrive()).redriven == 1
        assert await shop.states() == {"discarded": 1, "succeeded": 1}
        assert (await shop.redrive(first)).redriven == 1
    with pytest.raises(RedriveRefused, match="no letter stands at"):
        await discard_letter(shop.settings, first._replace(offset=999), "eva", "what?")


async def test_a_redrive_that_is_told_to_stop_ends_behind_its_batch(bootstrap_servers: str) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(10)
    shop.heal()
    stop = asyncio.Event()
    seen: list[int] = []

    async def told(progress: Progress) -> None:
        seen.append(progress.redriven)
        if len(seen) == 2:
            stop.set()

    async with shop.running():
        manner = Manner("ada", "mended", "b-stop", rate=1_000.0)
        progress = await redrive(shop.settings, Selection(shop.dlq), manner, told, stop)
        assert (progress.redriven, progress.stopped, seen) == (3, "it was told to stop", [1, 3])
        rest = await redrive(shop.settings, Selection(shop.dlq), manner, told, asyncio.Event())
    assert (rest.redriven, rest.heard) == (10, {"succeeded": 10})
    assert sorted(await shop.back()) == sorted(str(each.letter.at) for each in await shop.letters())


async def test_a_redrive_that_is_killed_again_and_again_redrives_no_letter_twice(
    bootstrap_servers: str, tmp_path: Path
) -> None:
    chance = random.Random()
    shop = Shop(bootstrap_servers)
    await shop.fails(60)
    shop.heal()
    command = ["saga.cli", "dlq", "redrive", shop.dlq, "--reason", "mended", "--by", "ada"]
    options = ["--batch-limit", "4", "--rate", "60", "--json"]
    settings = {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers}
    process = Process([*command, *options], settings, tmp_path / "redrive.log")
    async with shop.running():
        try:
            for _ in range(8):
                before = len(shop.charged)
                process.start()
                while len(shop.charged) == before and process.running.poll() is None:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(chance.uniform(0, 0.4))
                process.kill()
            process.start()
            assert await asyncio.to_thread(process.running.wait, 2 * SECONDS_MAX) == 0, process.output()
        finally:
            process.end()
        async with asyncio.timeout(SECONDS_MAX):
            while len(shop.charged) < 60:
                await asyncio.sleep(0.1)
        await shop.redrive()  # settles what nobody waited for

    assert Counter(await shop.back()) == Counter(str(each.letter.at) for each in await shop.letters())
    assert Counter(order for order, _ in shop.charged) == Counter(f"o-{n}" for n in range(60))
    assert Counter(shop.watched) == Counter(f"o-{n}" for n in range(60))
    assert await shop.states() == {"succeeded": 60}


async def test_of_two_redrives_at_once_one_gives_way_and_no_letter_goes_back_twice(
    bootstrap_servers: str,
) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(30)
    shop.heal()
    async with shop.running():
        outcomes = await asyncio.gather(*(shop.redrive(limit=4) for _ in range(3)), return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, Progress | RedriveRefused), outcome
        await shop.redrive()
    assert Counter(await shop.back()) == Counter(str(each.letter.at) for each in await shop.letters())
    assert Counter(order for order, _ in shop.charged) == Counter(f"o-{n}" for n in range(30))


async def test_a_letter_may_be_discarded_while_others_are_redriven(bootstrap_servers: str) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(12)
    shop.heal()
    last = (await shop.letters())[-1].letter.at
    async with shop.running():
        running = asyncio.create_task(shop.redrive(limit=1, rate=20.0))
        done = await asyncio.gather(discard_letter(shop.settings, last, "eva", "no"), return_exceptions=True)
        progress = await running
    states = await shop.states()
    discarded = not isinstance(done[0], RedriveRefused)
    assert progress.redriven == 12 - discarded
    assert states == ({"succeeded": 11, "discarded": 1} if discarded else {"succeeded": 12})


async def letters_by_hand(
    bootstrap_servers: str, topic: str, letters: Sequence[tuple[bytes, list[tuple[str, bytes]]]]
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_request_size=4_000_000) as producer:
        for value, headers in letters:
            await producer.send_and_wait(topic, value, key=b"k", headers=headers, partition=0)


async def test_a_letter_of_spring_goes_back_to_the_partition_where_it_stood(bootstrap_servers: str) -> None:
    shop = Shop(bootstrap_servers)
    dlt = f"{shop.topic}.DLT"
    topics = [Topic(shop.topic, 4), Topic(dlt, 1)]
    await ensure_topics(shop.settings, topics)
    headers = [
        ("mine", b"kept"),
        ("kafka_dlt-original-topic", shop.topic.encode()),
        ("kafka_dlt-original-partition", struct.pack(">i", 3)),
        ("kafka_dlt-original-offset", struct.pack(">q", 12)),
        ("kafka_dlt-original-consumer-group", b"billing"),
        ("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
    ]
    await letters_by_hand(bootstrap_servers, dlt, [(b"not even JSON", headers)])

    async def told(progress: Progress) -> None:
        return

    manner = Manner("ada", "mended", "b-spring", wait_seconds=0.5)
    progress = await redrive(shop.settings, Selection(dlt), manner, told, asyncio.Event())
    assert (progress.redriven, progress.stopped) == (1, "")
    [record] = [record async for record in committed_records(bootstrap_servers, [shop.topic])]
    assert (record.partition, record.key, record.value) == (3, b"k", b"not even JSON")
    back = dict(record.headers)
    assert back["mine"] == b"kept"
    assert back["saga_redrive_for"] == b"billing"
    assert not [name for name in back if name.startswith("kafka_dlt-")]


async def test_a_letter_that_can_not_go_back_holds_up_no_other(bootstrap_servers: str) -> None:
    shop = Shop(bootstrap_servers)
    dlt = f"{shop.topic}.DLT"
    await ensure_topics(
        shop.settings,
        [Topic(shop.topic, 1, {"max.message.bytes": "2000"}), Topic(dlt, 1)],
    )

    def back_to(topic: str) -> list[tuple[str, bytes]]:
        return [("__streams.errors.exception", b"E"), ("__streams.errors.topic", topic.encode())]

    letters = [
        (b"1", back_to(shop.topic)),
        (b"x" * 3_000, back_to(shop.topic)),
        (b"2", back_to("vanished")),
        (b"3", back_to("saga.steps")),
        (b"4", []),
        (b"5", back_to(shop.topic)),
        (b"6", back_to(shop.topic)),
    ]
    await letters_by_hand(bootstrap_servers, dlt, letters)

    async def told(progress: Progress) -> None:
        return

    manner = Manner("ada", "mended", "b-odd", wait_seconds=0)
    progress = await redrive(shop.settings, Selection(dlt), manner, told, asyncio.Event())
    assert progress.redriven == 3
    assert progress.left == {
        "it is larger than its topic allows": 1,
        "there is no topic vanished": 1,
        "saga.steps is no topic of the business": 1,
        "it does not say on which topic it stood": 1,
    }
    values = [record.value async for record in committed_records(bootstrap_servers, [shop.topic])]
    assert sorted(values) == [b"1", b"5", b"6"]


async def run(way: str, *arguments: str) -> tuple[int, str, str]:
    """Of these brokers, or of the server at this URL."""
    process = await asyncio.create_subprocess_exec(
        SAGA,
        "dlq",
        *arguments,
        "--url" if "://" in way else "--bootstrap-servers",
        way,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )
    out, err = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_lists_shows_edits_discards_and_redrives(
    bootstrap_servers: str, tmp_path: Path
) -> None:
    shop = Shop(bootstrap_servers)
    await shop.fails(3)
    name = shop.charge.name
    code, out, err = await run(bootstrap_servers, "list", name, "--json")
    [group] = json.loads(out)
    assert (code, err) == (0, "")
    assert (group["service"], group["error"], group["letters"], group["to_do"]) == (
        name,
        "ConnectionError",
        3,
        3,
    )
    code, out, _ = await run(bootstrap_servers, "list", name, "--letters", "--json")
    [first, second, _] = [each["letter"].removeprefix("saga.dlq.") for each in json.loads(out)]
    code, out, _ = await run(bootstrap_servers, "list", name, "--letters")
    assert "ConnectionError: no provider for o-" in out
    code, out, _ = await run(bootstrap_servers, "show", first)
    assert code == 0
    assert "Traceback" in out
    order = json.loads((await run(bootstrap_servers, "show", first, "--json"))[1])["payload"]["payload"]

    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps({**order, "amount": 7}))
    assert (await run(bootstrap_servers, "edit", first, "--payload", str(mended), "--reason", "a test"))[
        0
    ] == 0
    mended.write_text("{")
    code, _, err = await run(bootstrap_servers, "edit", first, "--payload", str(mended), "--reason", "a test")
    assert (code, "no JSON" in err) == (1, True)
    assert (await run(bootstrap_servers, "discard", second, "--reason", "a test"))[0] == 0
    shop.heal()
    async with shop.running():
        code, out, err = await run(
            bootstrap_servers, "redrive", name, "--reason", "a test", "--error", "ConnectionError", "--json"
        )
    assert (code, json.loads(out)["redriven"]) == (0, 2), err
    assert sorted(amount for _, amount in shop.charged) == [1, 7]
    code, out, _ = await run(bootstrap_servers, "list", name, "--json")
    assert json.loads(out)[0]["states"] == {"succeeded": 2, "discarded": 1}
    assert (await run(bootstrap_servers, "show", f"{name}/0/9999"))[0] == 1
    assert (await run(bootstrap_servers, "list", "no-such-service"))[0] == 1
