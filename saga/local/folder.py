"""The data folder: one broker at a time, and the port it came up on."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saga.core.errors import LocalKafkaError
from saga.local.errors import FolderInUse

# How long the broker of a dead owner may take to go (see watchdog.py), and a little more.
LEAVING_SECONDS_MAX = 12.0
LOOK_SECONDS = 0.05


class DataFolder:
    """What one broker keeps on disk. Relative paths are made absolute: Java may see another folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.records = self.path / "records"
        self.properties = self.path / "server.properties"
        self.log_settings = self.path / "log4j2.properties"
        self.log = self.path / "broker.log"
        self.output = self.path / "output.log"  # what Java itself prints
        self.scratch = self.path / "scratch"
        self._ports = self.path / "ports"
        self._lock = self.path / "lock"

    @property
    def formatted(self) -> bool:
        return (self.records / "meta.properties").exists()

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Claim the folder. Yields a file descriptor: the claim lasts while any process has it open.

        The broker inherits it, so a folder is free exactly when its broker is gone, however it went.
        Raises `FolderInUse`; waits some seconds for a broker whose owner is dead already.
        """
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
            file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LocalKafkaError(f"The Kafka data folder can't be used: {error}") from error
        try:
            self._claim(file)
            yield file
        finally:
            os.close(file)

    def name_holder(self, lock: int, broker_pid: int) -> None:
        """Write into the claimed lock who has it, for the message of those who come in vain."""
        os.truncate(lock, 0)
        os.pwrite(lock, f"{broker_pid} {os.getpid()}\n".encode(), 0)

    def last_ports(self) -> tuple[int, ...]:
        """Ports of the broker and its controller at the last start; empty before the first."""
        try:
            return tuple(int(port) for port in self._ports.read_text().split())
        except (FileNotFoundError, ValueError):
            return ()

    def keep_ports(self, broker: int, controller: int) -> None:
        self._ports.write_text(f"{broker} {controller}\n")

    def log_tail(self, lines: int = 15) -> str:
        """The end of what the broker wrote, for an error message."""
        files = (file for file in (self.output, self.log) if file.exists())
        text = "".join(file.read_text(errors="replace") for file in files)
        return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"

    def _claim(self, file: int) -> None:
        deadline = time.monotonic() + LEAVING_SECONDS_MAX
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                broker, owner = self._holder()
                if _alive(owner) or time.monotonic() > deadline:
                    raise FolderInUse(_in_use(self.path, broker, owner)) from None
            time.sleep(LOOK_SECONDS)

    def _holder(self) -> tuple[int, int]:
        try:
            broker, owner = (int(pid) for pid in self._lock.read_text().split())
        except ValueError:
            return 0, 0  # claimed a moment ago, not written yet
        return broker, owner


def _alive(pid: int) -> bool:
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _in_use(path: Path, broker: int, owner: int) -> str:
    return (
        f"The Kafka data folder {path} is in use by the broker with pid {broker}, started by the "
        f"process with pid {owner}. Stop that process, or choose another data folder."
    )
