"""The real Apache Kafka on this machine, with nothing installed but Python packages."""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

from saga.core.errors import LocalKafkaError
from saga.local.archive import archive_options, prepare_archive
from saga.local.configuration import QUICK_START, java_command, write_configuration
from saga.local.errors import BrokerFailed, PortTaken
from saga.local.folder import DataFolder
from saga.local.format import format_folder
from saga.local.jars import classpath
from saga.local.port import HOST, broker_answers, free_port, is_free
from saga.local.process import GuardedProcess

LOOK_SECONDS = 0.02
TRAINING_SECONDS_MAX = 120


class LocalKafka:
    """One Apache Kafka broker and controller (KRaft) as a child process.

    With `data` its records survive stop and kill, and it comes up on the same port again if that is
    free; without, they live in a temporary folder that `stop` removes. `port` asks for one port and
    no other. `properties` win over the broker properties of this project, `jvm` replaces its options for
    Java. The broker ends with the process that started it, even if that is killed.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int | None = None,
        properties: Mapping[str, str] = MappingProxyType({}),
        heap_mb: int = 512,
        jvm: Sequence[str] | None = None,
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
        if self._jvm is None:
            prepare_archive(_train)
        folder = self._folder = self._folder or DataFolder(_temporary_folder())
        try:
            with folder.locked() as lock:
                self._launch(folder, lock, jars)
            self._await_answer(folder, timeout_seconds)
        except BaseException:  # Ctrl-C too
            self.stop()
            raise

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

    def wait(self) -> None:
        """Return when the broker ends, by whatever cause; at once if it does not run."""
        if self._process:
            self._process.wait()

    def log_tail(self) -> str:
        """The last lines of the broker's log, empty before its first start."""
        return self._folder.log_tail() if self._folder else ""

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
        quick = (*QUICK_START, *archive_options())
        format_folder(folder, [*java_command(folder, self._heap_mb, quick), "-cp", jars])
        java = java_command(folder, self._heap_mb, quick if self._jvm is None else self._jvm)
        self._process = GuardedProcess.spawn(
            [*java, "-cp", jars, "kafka.Kafka", str(folder.properties)],
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
                what = "ended at its start" if ended else f"gave no answer in {timeout_seconds} s"
                raise BrokerFailed(f"Apache Kafka {what}. The end of its log:\n{folder.log_tail()}")
            time.sleep(LOOK_SECONDS)


def _train(archive: Path) -> None:
    # Java writes the archive when the broker ends, which takes some seconds.
    broker = LocalKafka(jvm=(*QUICK_START, f"-XX:AOTCacheOutput={archive}"))
    try:
        broker.start()
    finally:
        broker.stop(TRAINING_SECONDS_MAX)


def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="saga-kafka-"))


def _port_taken(port: int) -> str:
    return (
        f"Port {port} of {HOST} is taken by another process. Stop it, choose another port, or use "
        f"what listens there: --bootstrap-servers {HOST}:{port}"
    )
