"""A Kafka with ACLs: what `saga acls` prints is enough, and what is missing is named."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

import schemas
from saga import Event, Publisher, Service, ServiceSettings
from saga.cli.run import load
from saga.core.access import Right, grants, service_rights
from saga.core.errors import AccessRefused
from saga.local import LocalKafka
from saga.runtime.kafka import Topic, TopicPartition, ensure_topics, partition_counts, reader
from saga.runtime.settings import KafkaSettings
from saga.runtime.worker import Worker
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from tests.integration.processes import Process
from tests.integration.secured import PASSWORD, SecuredKafka
from tests.waiting import until
from tracker.core.lag import COLLECTOR_GROUP
from tracker.core.webhook import written_secret
from tracker.runtime.access import dashboard_rights, tracker_rights, webhook_rights
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.topics import made_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

SAGA = Path(sys.executable).with_name("saga")
SERVICES = ("orders", "inventory", "payments", "shipping")
TARGETS = [f"services.{name}.handlers:{name}" for name in SERVICES]
FLOWS = Path(schemas.__file__).with_name("flows")
LATE_SECONDS = 120


@pytest.fixture(scope="module")
def secured(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    secured = SecuredKafka(tmp_path_factory.mktemp("secured"))
    with secured.broker:
        yield secured


@pytest.fixture
def shops_own(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """One without the services of other tests, whose topics its tracker may not read."""
    secured = SecuredKafka(tmp_path_factory.mktemp("secured"))
    with secured.broker:
        yield secured


class Asked(Event, topic="asked", type="asked", version=1, key="question"):
    question: str


class Answered(Event, topic="answered", type="answered", version=1, key="question"):
    question: str


def answering(name: str, guarantee: str) -> Service:
    """A service with a name, and so rights, of its own; its topics are the test's."""
    service = Service(name, guarantee=guarantee)  # type: ignore[arg-type]

    @service.on(Asked)
    async def answer(asked: Asked) -> Answered:
        return Answered(question=asked.question)

    return service


async def made(secured: SecuredKafka, rights: Sequence[Right]) -> None:
    """Make the topics that these rights are about."""
    await ensure_topics(
        secured.admin, [Topic(right.name, 1) for right in rights if right.resource == "topic"]
    )


async def answers(secured: SecuredKafka) -> int:
    """Where the topics of the answers end."""
    async with reader(secured.admin) as consumer:
        counts = await partition_counts(secured.admin, ["answered"])
        ends = await consumer.end_offsets([TopicPartition("answered", n) for n in range(counts["answered"])])
    return sum(ends.values())


RIGHTS = ["Read asked", "Write answered", "Write saga.receipts", "Read group", "Write transactional-id"]


def chosen(rights: Sequence[Right], what: str) -> Right:
    operation, name = what.split()
    [right] = [
        right
        for right in rights
        if right.operation == operation
        and name in (right.name, right.resource)
        and (right.resource != "topic" or name == right.name)
    ]
    return right


def names(told: str, right: Right, user: str) -> None:
    """See to it that somebody is told who lacks what, and what to do."""
    assert f"User:{user} lacks {right.operation} on the {right.resource} {right.name}" in told
    [command] = grants([right], f"User:{user}", re.findall(r"--bootstrap-server (\S+)", told)[0])
    assert command in told


@pytest.mark.parametrize("what", RIGHTS)
async def test_a_service_that_lacks_a_right_says_so_at_its_start(secured: SecuredKafka, what: str) -> None:
    user = f"s-{uuid4().hex[:8]}"
    service = answering(user, "exactly-once")
    rights = service_rights(service)
    lacking = chosen(rights, what)
    await made(secured, rights)
    await secured.add_user(user)
    for command in grants([right for right in rights if right != lacking], f"User:{user}", "any"):
        await secured.allow(command)
    settings = ServiceSettings(**secured.settings("SASL_SSL", user).model_dump())

    async with asyncio.timeout(LATE_SECONDS):
        with pytest.raises(AccessRefused) as refused:
            await Worker(service, settings).run()

    names(str(refused.value), lacking, user)


@pytest.mark.parametrize(
    ("what", "guarantee"),
    [*((what, "exactly-once") for what in RIGHTS), *((what, "at-least-once") for what in RIGHTS[:-1])],
)
async def test_a_running_service_that_loses_a_right_ends_and_says_so(
    secured: SecuredKafka, what: str, guarantee: str
) -> None:
    user = f"s-{uuid4().hex[:8]}"
    service = answering(user, guarantee)
    rights = service_rights(service)
    lacking = chosen(rights, what)
    await made(secured, rights)
    await secured.add_user(user)
    for command in grants(rights, f"User:{user}", "any"):
        await secured.allow(command)
    settings = ServiceSettings(**secured.settings("SASL_SSL", user).model_dump(), session_timeout_ms=6_000)

    async with asyncio.timeout(LATE_SECONDS):
        async with Publisher(Service("asking", publishes=[Asked]), secured.admin) as publisher:
            work = asyncio.create_task(Worker(service, settings).run())
            before = await answers(secured)
            await publisher.publish(Asked(question="while it may"))
            while await answers(secured) == before:
                assert not work.done(), work
                await asyncio.sleep(0.2)
            await secured.take(lacking, f"User:{user}")
            while not work.done():
                await publisher.publish(Asked(question="when it may not any more"))
                await asyncio.wait([work], timeout=0.5)
        with pytest.raises(AccessRefused) as refused:
            await work

    names(str(refused.value), lacking, user)


PARTS = ("tracker", "collector", "webhooks", "project", "dashboard")
PEOPLE = ("viewer", "operator")


async def test_a_tracker_whose_collector_lacks_a_right_ends_and_says_so(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    user = f"t-{uuid4().hex[:8]}"
    rights = tracker_rights("all")
    lacking = Right("group", COLLECTOR_GROUP, "Read")
    assert lacking in rights
    await made_topics(TrackerSettings(bootstrap_servers=secured.admin.bootstrap_servers, topic_partitions=1))
    await secured.add_user(user)
    watching = Right(
        "group", COLLECTOR_GROUP, "Describe"
    )  # the tracker's own: it looks how far behind they are
    given = [watching, *(right for right in rights if right != lacking)]
    for command in grants(given, f"User:{user}", "any"):
        await secured.allow(command)
    apart = {"SAGA_STATE_DIR": str(tmp_path / "state"), "SAGA_PROCESSES": "2"}
    tracker = Process(
        ["saga.cli", "track"], secured.environment("SASL_SSL", user) | apart, tmp_path / "tracker.log"
    )
    tracker.start()
    try:
        assert await asyncio.to_thread(tracker.running.wait, LATE_SECONDS) == 1
    finally:
        tracker.end()
    told = tracker.output()
    names(told.splitlines()[-1], lacking, user)
    assert told.count(f"User:{user} lacks") == 1
    assert "Traceback" not in told


class Shop:
    """The services of the example, all that watches them, and people: each with the rights that `saga acls`
    prints.
    """

    def __init__(self, secured: SecuredKafka, folder: Path) -> None:
        self.secured = secured
        self._folder = folder
        self.processes: dict[str, Process] = {}
        self.users = {name: f"{name}-{uuid4().hex[:6]}" for name in (*SERVICES, *PARTS, *PEOPLE)}
        # Three of the ways to come in; that all of them work is tested elsewhere.
        self.environments = {
            **{name: secured.environment("SASL_SSL", self.users[name]) for name in self.users},
            "tracker": secured.environment("SSL", self.users["tracker"]),
            "viewer": secured.environment("SASL_PLAINTEXT", self.users["viewer"], "SCRAM-SHA-256"),
        }

    def principal(self, name: str) -> str:
        return f"User:{'CN=' if name == 'tracker' else ''}{self.users[name]}"

    def settings(self, name: str) -> KafkaSettings:
        return KafkaSettings(
            **{key.removeprefix("SAGA_").lower(): value for key, value in self.environments[name].items()}  # type: ignore[arg-type]
        )

    async def prepare(self) -> None:
        """What who administers Kafka does: topics, users, and the commands that were printed."""
        settings = TrackerSettings(bootstrap_servers=self.secured.admin.bootstrap_servers, topic_partitions=2)
        await made_topics(settings)
        rights = [right for target in TARGETS for right in service_rights(load(target))]
        rights += [*dashboard_rights(), *webhook_rights()]
        await made(self.secured, [right for right in rights if not right.prefixed])
        for name in self.users.keys() - {"tracker"}:
            await self.secured.add_user(self.users[name])
        services = [option for target in TARGETS for option in ("--service", target)]
        for name, who in (
            *zip(SERVICES, ([target] for target in TARGETS), strict=True),
            ("tracker", ["tracker", *services, "--flows", str(FLOWS)]),
            *((name, [name, *services]) for name in ("collector", "webhooks", "project", "dashboard")),
            *((name, [name]) for name in PEOPLE),
        ):
            for command in self.saga(name, "acls", *who, "--principal", self.principal(name)).splitlines():
                await self.secured.allow(command)

    def start(self, name: str) -> Process:
        arguments = {
            "tracker": ["tracker.runtime.worker"],
            "collector": ["saga.cli", "track", "--parts", "collector"],
            "webhooks": ["saga.cli", "webhooks", "--urls", "http://127.0.0.1:9/hook"],
            "project": ["saga.cli", "project"],
            "dashboard": ["saga.cli", "dashboard", "--port", "0"],
        }.get(name, [f"services.{name}"])
        process = Process(
            arguments,
            {
                **self.environments[name],
                "SAGA_STATE_DIR": str(self._folder / "state"),
                "SAGA_DATABASE": f"sqlite:///{self._folder}/{name}.db",
                "SAGA_ACCESS_USERS_FILE": str(self._folder / "users"),
                "SAGA_WEBHOOK_SECRET": written_secret(bytes(32)),
                "SAGA_FLOWS_DIR": str(FLOWS),
                "SAGA_DEMO_PAYMENT_MS": "2",
                "SAGA_SESSION_TIMEOUT_MS": "6000",
            },
            self._folder / f"{name}-{uuid4().hex[:6]}.log",
        )
        process.start()
        self.processes[name] = process
        return process

    async def order(self) -> str:
        """Place one; its number."""
        number = f"o-{uuid4().hex[:8]}"
        async with Publisher(orders, self.settings("orders")) as publisher:
            await publisher.publish(
                OrderPlaced(
                    order_id=number, lines=[OrderLine(sku="book", quantity=1)], amount=19.99, card="4111"
                )
            )
        return number

    def saga(self, name: str, *arguments: str) -> str:
        """What a command prints to this user."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [SAGA, *arguments],
            env={**os.environ, **self.environments[name]},
            capture_output=True,
            text=True,
            timeout=LATE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def completed(self, number: str) -> bool:
        listed = json.loads(self.saga("viewer", "list", "--json"))
        return any(saga["key"] == number and saga["status"] == "completed" for saga in listed)

    def says(self, name: str, words: str) -> bool:
        return words in self.processes[name].output()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it; the log says why it does not come."""
        try:
            await asyncio.to_thread(until, condition, LATE_SECONDS)
        except AssertionError as error:
            raise AssertionError(self.log()) from error

    def log(self) -> str:
        return "\n".join(f"{name}: {process.output()}" for name, process in self.processes.items())

    def end(self) -> None:
        for process in self.processes.values():
            process.end()


async def everything_is_answered(shop: Shop, number: str) -> None:
    """The server of the dashboard can do all that people ask of it."""
    dashboard = shop.processes["dashboard"]
    await shop.until(lambda: shop.says("dashboard", "http://127.0.0.1:"))
    [url] = re.findall(r"http://127\.0\.0\.1:\d+", dashboard.output())[:1]
    async with httpx.AsyncClient(base_url=f"{url}/api/v1/", timeout=60) as client:

        def known() -> bool:
            found = httpx.get(
                f"{url}/api/v1/sagas", params={"key": number, "status": "completed"}, timeout=60
            )
            return bool(found.json()["sagas"])

        def both() -> bool:
            groups = httpx.get(f"{url}/api/v1/status", timeout=60).raise_for_status().json()["groups"]
            return [len(each["members"]) for each in groups if each["group"] == "saga-collector"] == [2]

        await shop.until(known)
        await shop.until(both)
        [saga] = (await client.get("sagas", params={"key": number})).json()["sagas"]
        event = (await client.get(f"sagas/{saga['id']}")).json()["events"][0]["id"]
        note = {"action": "note", "reason": "a test"}
        for path in (
            "status",
            "orphans",
            "dead-letters/groups",
            f"sagas/{saga['id']}/events/{event}/payload",
        ):
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
        answer = await client.post(f"sagas/{saga['id']}/commands", json=note, params={"wait_seconds": 30})
        assert answer.status_code == 200, answer.text
        letters = {"topic": "saga.dlq.payments"}
        wish = {"action": "redrive", "reason": "a test", "letters": letters}
        job = (await client.post("jobs", json=wish)).json()["id"]
        async with asyncio.timeout(LATE_SECONDS):
            while not (told := (await client.get(f"jobs/{job}")).json())["ended"]:
                await asyncio.sleep(0.2)
        assert (told["state"], told["message"]) == ("done", ""), told


async def test_with_the_rights_that_are_printed_an_order_goes_through_and_without_one_it_is_told(
    shops_own: SecuredKafka, tmp_path: Path
) -> None:
    shop = Shop(shops_own, tmp_path)
    await shop.prepare()
    try:
        for name in (*SERVICES, *PARTS):
            shop.start(name)
        first = await shop.order()
        await shop.until(lambda: shop.completed(first))
        await shop.until(lambda: shop.says("webhooks", "telling"))
        await shop.until(lambda: shop.says("project", "the read model is complete"))
        assert shop.saga("operator", "note", first, "--reason", "a test").endswith(": accepted\n")
        await everything_is_answered(shop, first)
        for word in (
            "refuse",
            "lacks",
            "uthoriz",
            "ERROR",
            "Traceback",
            "can't be watched",
            "can't be asked",
        ):
            assert word not in shop.log()
        assert PASSWORD not in shop.log()

        lacking = Right("topic", "saga.receipts", "Write")
        await shops_own.take(lacking, shop.principal("inventory"))
        second = await shop.order()
        inventory = shop.processes["inventory"]
        await shop.until(lambda: inventory.running.poll() is not None)
        told = inventory.output()
        assert inventory.running.returncode == 1
        names(told.splitlines()[-1], lacking, shop.users["inventory"])
        assert "Traceback" not in told

        [command] = re.findall(r"kafka-acls\.sh .*", told.splitlines()[-1])
        await shops_own.allow(command)
        shop.start("inventory")
        await shop.until(lambda: shop.completed(second))
    finally:
        shop.end()
