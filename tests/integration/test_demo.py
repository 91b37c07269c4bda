"""`saga demo` as somebody types it: orders come through, and nothing is left of it afterwards."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from saga.local import LocalKafka
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("kafka"), pytest.mark.timeout(240)]

COMMAND = Path(sys.executable).with_name("saga")
START_SECONDS_MAX = 120
END_SECONDS_MAX = 15
GOOD = "placed → reserved → charged → dispatched"


class Demo:
    """A running demo, and what it printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], output: int) -> None:
        self.process = process
        self.output = b""
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace")

    def until_shown(self, text: str) -> None:
        until(lambda: text in self.text or not self.running, START_SECONDS_MAX, what=text)
        assert text in self.text, self.text

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def descendants(self) -> dict[str, psutil.Process]:
        """Everything that runs below it, by the last word of its command line: Kafka, services, tracker."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return {f"{child.cmdline()[-1]} {child.pid}": child for child in below}

    def end(self) -> int:
        """Its exit code, after the last word of its output was read."""
        code = self.process.wait(START_SECONDS_MAX)
        self._reader.join(END_SECONDS_MAX)
        return code

    def _read(self, output: int) -> None:
        try:
            while chunk := os.read(output, 65_536):
                self.output += chunk
        except OSError:
            return  # how a terminal says that nobody writes to it any more


@contextmanager
def demo(*arguments: str, terminal: bool = False) -> Iterator[Demo]:
    """The demo in a process group of its own, so that Ctrl-C can be sent to all of it, as terminals do."""
    reading, writing = os.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [COMMAND, "demo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(writing)
    running = Demo(process, reading)
    try:
        yield running
    finally:
        process.kill()  # its watchdogs end what it has started
        process.wait()
        running._reader.join(END_SECONDS_MAX)
        os.close(reading)


def all_gone(processes: dict[str, psutil.Process]) -> bool:
    return not any(process.is_running() for process in processes.values())


def logs_folder(text: str) -> Path:
    found = re.search(r"Their logs are in (\S+)\. Ctrl-C", text)
    assert found, text
    return Path(found[1])


def test_orders_come_through_and_it_ends_by_itself() -> None:
    with demo("--rate", "20", "--seconds", "20") as running:
        running.until_shown(GOOD)
        below = running.descendants()
        assert running.end() == 0, running.text
        text = running.text

    summary = re.search(r"([\d,]+) orders: ([\d,]+) dispatched, ([\d,]+) declined, ([\d,]+) rejected", text)
    assert summary, text
    placed, dispatched, declined, _ = (int(number.replace(",", "")) for number in summary.groups())
    assert placed >= 200
    assert placed > dispatched > placed // 2
    assert declined > 0
    assert "placed → reserved → declined" in text
    assert "\x1b" not in text, "no terminal, no colours"
    assert {name.split()[0] for name in below} >= {f"services.{name}" for name in ("orders", "payments")}
    until(lambda: all_gone(below), END_SECONDS_MAX, what="its processes have gone")
    assert not logs_folder(text).exists()


def test_ctrl_c_in_a_terminal_ends_all_of_it_soon() -> None:
    with demo("--terminal", terminal=True) as running:
        running.until_shown("LATEST ORDERS")
        running.until_shown("dispatched")
        below = running.descendants()
        assert len(below) >= 6
        os.killpg(running.process.pid, signal.SIGINT)
        until(lambda: not running.running, END_SECONDS_MAX, what="the demo has ended")
        assert running.end() == 0, running.text
        until(lambda: all_gone(below), END_SECONDS_MAX, what="its processes have gone")
        assert " orders: " in running.text
        assert "Traceback" not in running.text


def test_nothing_is_left_of_a_demo_that_is_killed() -> None:
    with demo() as running:
        running.until_shown(GOOD)
        below = running.descendants()
        folder = logs_folder(running.text).parent
        running.process.kill()
        until(lambda: all_gone(below), 2 * END_SECONDS_MAX, what="its processes have gone")
        assert not folder.exists()


def test_a_kafka_that_is_there_already_is_used_and_left_running() -> None:
    with LocalKafka() as kafka:
        servers = kafka.bootstrap_servers
        with demo("--rate", "20", "--seconds", "10", "--bootstrap-servers", servers) as running:
            running.until_shown(GOOD)
            below = running.descendants()
            assert running.end() == 0, running.text
        assert f"Look further: saga show o-1001 --bootstrap-servers {servers}" in running.text
        until(lambda: all_gone(below), END_SECONDS_MAX, what="its processes have gone")
        assert kafka.pid is not None


def test_a_process_that_ends_by_itself_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with demo("--data", str(tmp_path)) as running:
        running.until_shown(GOOD)
        below = running.descendants()
        for process in below.values():
            if process.cmdline()[-1] == "services.payments":
                process.kill()
        assert running.end() == 1
        assert "saga: payments ended by itself" in running.text
        assert "payments is running" in running.text, "the log"
        until(lambda: all_gone(below), END_SECONDS_MAX, what="its processes have gone")
        assert (tmp_path / "logs" / "payments.log").exists()
