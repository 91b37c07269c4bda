"""Services as processes that a test starts, stops, pauses and kills."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 20


class Process:
    """A Python module as a process, restartable, with its output in a file.

    `arguments` follow `python -m`; `settings` are added to the environment.
    """

    def __init__(self, arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> None:
        self._command = [sys.executable, "-m", *arguments]
        self._environment = {**os.environ, **settings}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
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

    def output(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""
