"""`saga list`, `show` and `watch` on a real saga table, as a user runs them."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from saga.core.receipt import SERVICES_TOPIC
from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.facts import CHARGED, DISPATCHED, GIVEN_UP, PLACED, RESERVED, SERVICES
from tracker.core.fold import fold
from tracker.core.frame import Observation, saga_partition
from tracker.core.saga import SAGA_VERSION, SAGAS_CHANGELOG_TOPIC, encode_saga

pytestmark = pytest.mark.kafka

PARTITIONS = 3
PICTURES_MAX = 200
OPEN_ID = "0193a7c2-51e0-7d3c-9a1f-0c5de2a3b411"
SAGAS: dict[str, list[Observation]] = {
    OPEN_ID: PLACED + RESERVED + CHARGED,
    "0193a7c2-51e0-7d3c-9a1f-0c5de2a3b412": PLACED + RESERVED + CHARGED + DISPATCHED,
    "0193a7c2-51e0-7d3c-9a1f-0c5de2a3b413": PLACED + RESERVED + CHARGED + GIVEN_UP,
}
COMMAND = Path(sys.executable).with_name("saga")


@pytest.fixture(scope="module")
def empty_kafka() -> Iterator[str]:
    """A broker of its own: the names of the tracker's topics are the same for all tests."""
    with LocalKafka() as broker:
        broker.start()
        yield broker.bootstrap_servers


@pytest.fixture(scope="module")
def tracked(empty_kafka: str) -> str:
    """The same broker, after a tracker has been there."""
    asyncio.run(_write_table(empty_kafka))
    return empty_kafka


async def _write_table(bootstrap_servers: str) -> None:
    compacted = {"cleanup.policy": "compact"}
    await ensure_topics(
        KafkaSettings(bootstrap_servers=bootstrap_servers),
        [Topic(SAGAS_CHANGELOG_TOPIC, PARTITIONS, compacted), Topic(SERVICES_TOPIC, 1, compacted)],
    )
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        for service in SERVICES:
            value = msgspec.json.encode(service)
            await producer.send_and_wait(SERVICES_TOPIC, value, key=service.service.encode())
        await producer.send_and_wait(SERVICES_TOPIC, b"no announcement", key=b"foreign")
        for saga_id, facts in SAGAS.items():
            for told in (facts[:1], facts):
                await _write(producer, saga_id, encode_saga(fold(None, saga_id, told)))
        await _write(producer, "removed", encode_saga(fold(None, "removed", PLACED)))
        await _write(producer, "removed", None)
        await _write(producer, "corrupt", b"\xc1")


async def _write(producer: AIOKafkaProducer, saga_id: str, value: bytes | None) -> None:
    partition = saga_partition(saga_id, PARTITIONS)
    await producer.send_and_wait(SAGAS_CHANGELOG_TOPIC, value, key=saga_id.encode(), partition=partition)


def saga(bootstrap_servers: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "160", "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers},
    )


# Runs first, while the broker has no topics yet.
def test_without_a_tracker_the_commands_say_how_to_start_one(empty_kafka: str) -> None:
    for arguments in (["list"], ["show", OPEN_ID], ["watch", "--once"]):
        told = saga(empty_kafka, *arguments)
        assert told.stderr == f"saga: no topic {SAGAS_CHANGELOG_TOPIC}: start the tracker with `saga track`\n"
        assert told.returncode == 1


def test_without_kafka_a_command_says_so_in_one_line() -> None:
    told = subprocess.run(
        [COMMAND, "list", "--bootstrap-servers", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SAGA_CONNECT_TIMEOUT_SECONDS": "0.2"},
    )
    assert told.stderr.startswith("saga: no Kafka answers at 127.0.0.1:1")
    assert len(told.stderr.splitlines()) == 1
    assert told.returncode == 1


def test_list_shows_the_sagas_and_counts_what_cannot_be_read(tracked: str) -> None:
    told = saga(tracked, "list")

    statuses = [line.split()[-1] for line in _cut(told.stdout, "STATUS")]
    assert statuses == ["failed", "open", "completed"]
    assert "shipping: dead-lettered (NoStreet)" in told.stdout
    assert told.stderr == "1 record could not be read\n"


def test_list_can_be_read_by_programs(tracked: str) -> None:
    (row,) = json.loads(saga(tracked, "list", "--waiting-for", "shipping", "--json").stdout)

    assert row["id"] == OPEN_ID
    assert row["waiting_for"][0]["type"] == "payment.charged"


def test_variants_lists_the_ways_that_ended_sagas_went(tracked: str) -> None:
    told = saga(tracked, "variants", "order.placed")

    assert "50.0%   1.1 s  dfe9fe7a3e74ab13  order.placed → stock.reserved → payment.charged" in told.stdout
    assert told.stderr == "1 record could not be read\n"

    read = json.loads(saga(tracked, "variants", "order.placed", "--limit", "1", "--json").stdout)
    assert read["sagas"] == 2
    assert read["variants"][0]["types"][:2] == ["order.placed", "stock.reserved"]


def test_variants_of_a_flow_that_nobody_knows_says_where_to_look(tracked: str) -> None:
    told = saga(tracked, "variants", "order.plcaed")

    assert told.returncode == 1
    assert told.stderr.startswith("saga: no flow order.plcaed, and no event of this type begins a saga")
    assert saga(tracked, "variants", "payment.charged").stderr.startswith(
        "no saga of payment.charged has ended"
    )


def test_list_refuses_what_is_no_duration(tracked: str) -> None:
    told = saga(tracked, "list", "--older-than", "soon")

    assert told.returncode == 1
    assert "'soon' is no duration" in told.stderr


@pytest.mark.parametrize("name", [OPEN_ID, "a3b411", "…a3b411"])
def test_show_finds_a_saga_by_its_id_or_the_end_of_it(tracked: str, name: str) -> None:
    told = saga(tracked, "show", name)

    assert told.returncode == 0
    assert told.stdout.startswith(f"(unknown) order.placed  {OPEN_ID}  o-1042  open\n")
    assert "payments 38 ms, 2nd attempt (Timeout)" in told.stdout


def test_show_by_a_key_of_several_sagas_lists_them(tracked: str) -> None:
    told = saga(tracked, "show", "o-1042")

    assert told.returncode == 1
    assert "3 sagas match o-1042" in told.stderr
    assert len(told.stdout.splitlines()) == 4


def test_show_of_an_unknown_id_tells_the_nearest(tracked: str) -> None:
    told = saga(tracked, "show", OPEN_ID[:-1] + "0")

    assert told.returncode == 1
    assert "no saga has the id or the business key" in told.stderr
    assert "…5de2a3b411" in told.stdout or "…e2a3b411" in told.stdout


def test_show_of_a_record_that_cannot_be_read_says_so(tracked: str) -> None:
    told = saga(tracked, "show", "corrupt")

    assert told.returncode == 1
    assert told.stderr.startswith(f"saga: no saga of format version {SAGA_VERSION}")


def test_watch_without_a_terminal_prints_one_picture(tracked: str) -> None:
    told = saga(tracked, "watch")

    assert told.returncode == 0
    assert "(unknown) order.placed  in flight 1  retrying 0  failed 1  done 1" in told.stdout


def test_watch_follows_until_ctrl_c_and_sees_a_new_saga(tracked: str) -> None:
    watching = subprocess.Popen(
        [COMMAND, "watch", "--json", "--interval", "0.1", "--bootstrap-servers", tracked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watching, _ended(watching):
        assert _in_flight(watching) == 1
        asyncio.run(_write_one(tracked, "another", PLACED[:1]))
        assert any(_in_flight(watching) == 2 for _ in range(PICTURES_MAX))
        asyncio.run(_write_one(tracked, "another", None))
        assert any(_in_flight(watching) == 1 for _ in range(PICTURES_MAX))

        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=20)
        assert (watching.returncode, errors) == (0, "")


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Killed at the end, so that a test that fails does not wait for it for ever."""
    try:
        yield
    finally:
        process.kill()


def _in_flight(watching: subprocess.Popen[str]) -> int:
    assert watching.stdout is not None
    picture: dict[str, int] = json.loads(watching.stdout.readline())
    return picture["in_flight"]


async def _write_one(bootstrap_servers: str, saga_id: str, facts: list[Observation] | None) -> None:
    value = None if facts is None else encode_saga(fold(None, saga_id, facts))
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        await _write(producer, saga_id, value)


def _cut(table: str, heading: str) -> list[str]:
    """The lines below the heading, up to the end of its column."""
    head, *lines = table.splitlines()
    start = head.index(heading)
    width = len(head[start:]) - len(head[start:].removeprefix(heading).lstrip())
    return [line[: start + width].rstrip() for line in lines]
