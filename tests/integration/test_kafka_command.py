"""`saga kafka` in a terminal: ready, stopped, and refused."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from saga.local.port import HOST, broker_answers, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("kafka")]

COMMAND = [sys.executable, "-c", "import typer; from saga.cli.kafka import kafka; typer.run(kafka)"]


def run(*arguments: str, data: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--data", str(data), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with run("--port", "0", data=tmp_path) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_where_kafka_is_and_stops_cleanly(
    running: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert running.stdout is not None
    ready = running.stdout.readline()
    address = re.search(rf"{HOST}:(\d+)", ready)
    assert address, ready
    port = int(address[1])
    assert broker_answers(port)
    running.send_signal(number)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 0, errors
    assert "Traceback" not in errors
    assert not broker_answers(port)


def test_a_taken_port_is_said_in_one_message(tmp_path: Path) -> None:
    port = free_port()
    with (
        socket.create_server((HOST, port)),
        run("--port", str(port), data=tmp_path) as process,
    ):
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Port {port}" in errors
    assert "Traceback" not in errors


def test_a_broker_that_ends_by_itself_is_an_error(running: subprocess.Popen[str], tmp_path: Path) -> None:
    assert running.stdout is not None
    running.stdout.readline()
    pid = int((tmp_path / "lock").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "ended by itself" in errors


def test_a_broker_property_needs_a_value(tmp_path: Path) -> None:
    with run("--set", "log.retention.hours", data=tmp_path) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "NAME=VALUE" in errors
