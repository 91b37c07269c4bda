"""The local Apache Kafka as its users meet it: records that stay, ends that leave nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from saga.local import BrokerFailed, FolderInUse, LocalKafka, PortTaken
from saga.local.port import HOST, free_port
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("kafka")]  # the jars are there, then


async def create_topic(bootstrap_servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=topic)
    async with producer, producer.transaction():
        await producer.send(topic, value)


async def consume(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=f"readers-of-{topic}",
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=1000,
        heartbeat_interval_ms=300,
    )
    async with consumer:
        value: bytes | None = (await consumer.getone()).value
    return value


async def test_a_record_of_a_transaction_comes_back(bootstrap_servers: str) -> None:
    await create_topic(bootstrap_servers, "comes-back")
    await produce(bootstrap_servers, "comes-back", b"here")
    assert await consume(bootstrap_servers, "comes-back") == b"here"


async def test_a_topic_is_never_made_by_accident(bootstrap_servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.describe_topics(["mistyped"])
        assert "mistyped" not in await admin.list_topics()
    finally:
        await admin.close()


@pytest.mark.parametrize("end", [LocalKafka.stop, LocalKafka.kill])
async def test_records_and_port_survive(tmp_path: Path, end: object) -> None:
    broker = LocalKafka(tmp_path / "data")
    with broker:
        address = broker.bootstrap_servers
        await create_topic(address, "kept")
        await produce(address, "kept", b"still here")
        assert callable(end)
        end(broker)
        assert broker.pid is None
        broker.start()
        assert broker.bootstrap_servers == address
        assert await consume(address, "kept") == b"still here"


def test_another_object_finds_the_port_of_a_data_folder(tmp_path: Path) -> None:
    with LocalKafka(tmp_path) as first:
        address = first.bootstrap_servers
    with LocalKafka(tmp_path) as second:
        assert second.bootstrap_servers == address


def test_a_data_folder_whose_port_was_taken_meanwhile_gets_another(tmp_path: Path) -> None:
    with LocalKafka(tmp_path) as broker:
        address = broker.bootstrap_servers
    with listener(int(address.rpartition(":")[2])), broker:
        assert broker.bootstrap_servers != address


def test_two_brokers_run_side_by_side(kafka: LocalKafka) -> None:
    with LocalKafka() as other:
        assert other.bootstrap_servers != kafka.bootstrap_servers
        assert other.pid != kafka.pid


def test_a_data_folder_in_use_names_its_broker(tmp_path: Path) -> None:
    with LocalKafka(tmp_path) as broker, pytest.raises(FolderInUse, match=rf"pid {broker.pid}\b"):
        LocalKafka(tmp_path).start()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    port = free_port()
    with listener(port), pytest.raises(PortTaken, match=str(port)):
        LocalKafka(tmp_path, port=port).start()


def test_a_broker_that_refuses_its_properties_shows_its_log() -> None:
    broker = LocalKafka(properties={"num.io.threads": "none"})
    with pytest.raises(BrokerFailed, match=r"num\.io\.threads"):
        broker.start()
    assert broker.pid is None


def test_a_broker_that_is_too_slow_is_not_left_behind(tmp_path: Path) -> None:
    broker = LocalKafka(tmp_path)
    with pytest.raises(BrokerFailed, match="no answer"):
        broker.start(timeout_seconds=0)
    assert not brokers_of(tmp_path)


def test_start_and_stop_may_be_repeated(tmp_path: Path) -> None:
    broker = LocalKafka(tmp_path)
    broker.stop()
    broker.start()
    pid = broker.pid
    broker.start()
    assert broker.pid == pid
    broker.stop()
    broker.stop()
    broker.kill()
    assert broker.pid is None
    assert not brokers_of(tmp_path)


def test_a_temporary_folder_is_removed_at_stop() -> None:
    with LocalKafka() as broker:
        folder = data_folder(broker.pid)
        assert folder.exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    "before",
    ["", "if os.fork() == 0: time.sleep(60)"],
    ids=["alone", "a forked child holds its files open"],
)
def test_the_broker_ends_with_a_killed_parent(before: str) -> None:
    parent = python(f"""
        import os, time
        from saga.local import LocalKafka
        broker = LocalKafka()
        broker.start()
        {before}
        print(broker.pid, flush=True)
        time.sleep(60)
    """)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        folder, watchdog = data_folder(pid), psutil.Process(pid).ppid()
        family = psutil.Process(parent.pid).children()
        parent.kill()
        until(lambda: not psutil.pid_exists(pid), within=15, what="broker gone")
        until(lambda: not psutil.pid_exists(watchdog), within=5, what="watchdog gone")
        until(lambda: not folder.exists(), within=5, what="temporary folder gone")
        for forked in family:
            if forked.is_running():
                forked.kill()


def test_a_data_folder_can_be_used_again_right_after_its_owner_was_killed(tmp_path: Path) -> None:
    parent = python(f"""
        import time
        from pathlib import Path
        from saga.local import LocalKafka
        broker = LocalKafka(Path({str(tmp_path)!r}))
        broker.start()
        print(broker.bootstrap_servers, flush=True)
        time.sleep(60)
    """)
    with parent:
        assert parent.stdout is not None
        address = parent.stdout.readline().strip()
        parent.kill()
    with LocalKafka(tmp_path) as broker:
        assert broker.bootstrap_servers == address


def test_ctrl_c_in_the_terminal_leaves_the_broker_to_its_owner() -> None:
    parent = python("""
        import signal, time
        from saga.local import LocalKafka
        with LocalKafka() as broker:
            seen = []
            signal.signal(signal.SIGINT, lambda *_: seen.append(broker.pid))
            print(broker.pid, flush=True)
            while not seen:
                time.sleep(0.02)
            print(seen[0] is not None, flush=True)
    """)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.readline() == "True\n"
        assert parent.wait(30) == 0
    assert not psutil.pid_exists(pid)


def test_a_java_that_users_configured_for_other_things_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m --no-such-option")
    monkeypatch.setenv("PATH", "/nonexistent")
    with LocalKafka(tmp_path) as broker:
        assert broker.pid is not None


def python(script: str) -> subprocess.Popen[str]:
    """A Python process of its own process group that runs the script; its output can be read."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def listener(port: int) -> Iterator[None]:
    with socket.create_server((HOST, port)):
        yield


def data_folder(pid: int | None) -> Path:
    return Path(psutil.Process(pid).cmdline()[-1]).parent


def brokers_of(folder: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter()
        if any(str(folder) in word for word in _command(process))
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
