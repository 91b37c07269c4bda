"""The broker's process, under a watchdog that ends it should we die."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from saga.local.errors import BrokerFailed

WATCHDOG = Path(__file__).with_name("watchdog.py")

# A user's options for another Java must not reach this one.
FOREIGN_SETTINGS = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")


class GuardedProcess:
    """A child's child. `pid` is the command's; it can't be another's while `running`."""

    def __init__(self, watchdog: subprocess.Popen[bytes], pid: int) -> None:
        self._watchdog = watchdog
        self.pid = pid

    @classmethod
    def spawn(cls, command: Sequence[str], *, output: Path, keep_open: int, temporary: Path | None) -> Self:
        """Start the command with its output in a file.

        `keep_open` is a file descriptor that the command inherits. `temporary` is removed when the
        command ends because we died; otherwise it is ours to remove. Raises `BrokerFailed` when the
        command can't be run at all.
        """
        with output.open("wb") as file:
            watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHDOG), str(temporary or ""), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=java_environment(),
                pass_fds=[keep_open],
                start_new_session=True,  # Ctrl-C in the terminal is for us alone
            )
        assert watchdog.stdout is not None
        with watchdog.stdout as stdout:
            pid = stdout.readline()
        process = cls(watchdog, int(pid or b"-1"))
        if not pid:
            process._reap()
            raise BrokerFailed(f"{command[0]} can't be run:\n{output.read_text(errors='replace')}")
        return process

    @property
    def running(self) -> bool:
        return self._watchdog.poll() is None

    def wait(self) -> None:
        """Return when the process is gone."""
        self._watchdog.wait()

    def end(self, timeout_seconds: float) -> None:
        """SIGTERM, and SIGKILL if that takes too long. Returns when the process is gone."""
        self._signal(signal.SIGTERM)
        try:
            self._watchdog.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
        self._reap()

    def kill(self) -> None:
        """SIGKILL. Returns when the process is gone."""
        self._signal(signal.SIGKILL)
        self._reap()

    def _signal(self, number: signal.Signals) -> None:
        # The watchdog reaps the command and ends at once: while it runs, the pid is still ours.
        if self.running:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass  # ended in this very moment

    def _reap(self) -> None:
        self._watchdog.wait()
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()  # not before: a closed pipe tells the watchdog that we died


def java_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in FOREIGN_SETTINGS}
