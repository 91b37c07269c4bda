"""Services as processes that a test starts, stops, pauses and kills."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 20
ONE_PROCESS = {"SAGA_PROCESSES": "1"}
"""A tracker under a test has little to do, and a second process costs half a second of processor time at each
start. So it gets one only where a test is about that; then `kill` and `pause` mean the parent alone."""


def tracker_process(bootstrap_servers: str, folder: Path, suffix: str = "", **settings: str) -> "Process":
    """A tracker that soon knows what is new, and is soon given up; its state and its log in the folder."""
    return Process(
        ["tracker.runtime.worker"],
        {
            "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "SAGA_STATE_DIR": str(folder / f"state{suffix}"),
            "SAGA_SESSION_TIMEOUT_MS": "2000",
            "SAGA_SOURCES_INTERVAL_MS": "200",
            **settings,
        },
        folder / f"tracker{suffix}.log",
    )


class Process:
    """A Python module as a process, restartable, with its output in a file.

    `arguments` follow `python -m`; `settings` are added to the environment.
    """

    def __init__(self, arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> None:
        self._command = [sys.executable, "-m", *arguments]
        self._environment = {**os.environ, **ONE_PROCESS, **settings}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    def start(self) -> None:
        self._said_before = len(self.output())
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to say goodbye."""
        self.running.kill()
        self.running.wait()

    def pause(self) -> None:
        self.running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.running.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.running.terminate()
        return self.running.wait(timeout=STOP_SECONDS)

    def end(self) -> None:
        """Whatever state it is in, it is gone afterwards."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self.kill()

    def has_said(self, text: str) -> bool:
        """Whether this stands in its output since it was started last."""
        return text in self.output()[self._said_before :]

    def output(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""
