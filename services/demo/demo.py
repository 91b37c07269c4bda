"""Everything at once: started in order, shown, and ended in order."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import schemas
from saga import KafkaSettings, SagaError
from saga.local import BrokerFailed, LocalKafka
from saga.local.port import HOST, free_port, is_free, listens
from saga.runtime.group import describe_groups
from saga.runtime.kafka import KafkaError, partition_counts
from saga.runtime.settings import SASL_FIELDS, TLS_FIELDS
from services.demo.book import Book
from services.demo.fleet import Fleet
from services.demo.generator import Generator
from services.demo.node import LOYALTY, loyalty_command
from services.demo.screen import draw, tell
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC

SERVICES = ("orders", "inventory", "payments", "shipping")
TRACKER_GROUPS = ("saga-collector", "saga-tracker")
FLOWS = Path(schemas.__file__).with_name("flows")
KNOWN_PORT = 9092
"""Where commands look for Kafka when nobody tells them otherwise: taken if it is free."""

PAGES_PORT = 8080
"""The dashboard's, if it is free."""

START_SECONDS_MAX = 90
KAFKA_STOP_SECONDS_MAX = 4
LOOK_SECONDS = 0.1


class Demo:
    """One run. `folder` is for Kafka, the tracker and the logs; `temporary`: it is removed afterwards.

    `node`: with the service in JavaScript. `terminal`: the picture is drawn in the terminal, and no dashboard
    is served. Raises what `loyalty_command` does.
    """

    def __init__(
        self,
        folder: Path,
        console: Console,
        rate: float,
        *,
        node: bool = False,
        terminal: bool = False,
        temporary: bool,
    ) -> None:
        self._folder = folder
        self._console = console
        self._rate = rate
        self._services = (*SERVICES, LOYALTY.name) if node else SERVICES
        self._loyalty = loyalty_command() if node else []
        self._temporary = temporary
        self._pages_port = 0 if terminal else PAGES_PORT if is_free(PAGES_PORT) else free_port()
        self._fleet = Fleet(folder / "logs", folder if temporary else None)
        self._kafka: LocalKafka | None = None

    def run(self, bootstrap_servers: str | None, seconds: float) -> None:
        """Run until Ctrl-C, or for so many seconds; without an address with a Kafka of our own.

        Raises
        ------
        KeyboardInterrupt
            It was Ctrl-C, and everything has ended.
        SagaError
            Kafka could not be started, or a process ended by itself.
        """
        with contextlib.ExitStack() as stack:
            if bootstrap_servers is None:
                bootstrap_servers = self._start_kafka(stack)
            settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
            stack.enter_context(self._fleet)
            stack.push(_ignore_signals)
            self._start_fleet(settings)
            asyncio.run(self._show(settings, seconds))

    def _start_kafka(self, stack: contextlib.ExitStack) -> str:
        for name in ("security_protocol", *SASL_FIELDS, *TLS_FIELDS):
            os.environ.pop(f"SAGA_{name.upper()}", None)  # they are for another Kafka than the demo's own
        kafka = LocalKafka(self._folder / "kafka", port=KNOWN_PORT if is_free(KNOWN_PORT) else None)
        stack.callback(kafka.stop, KAFKA_STOP_SECONDS_MAX)
        stack.push(_ignore_signals)
        kafka.start()
        self._kafka = kafka
        return kafka.bootstrap_servers

    def _start_fleet(self, settings: KafkaSettings) -> None:
        os.environ |= {  # the children inherit it
            "SAGA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "SAGA_STATE_DIR": str(self._folder / "tracker"),
            "SAGA_DATABASE": f"sqlite:///{self._folder / 'sagas.db'}",
            "SAGA_STOP_GRACE_MS": "4000",  # somebody sits in front of it
            "SAGA_PROCESSES": os.environ.get("SAGA_PROCESSES", "1"),  # a tracker has little to do here
            "SAGA_DEMO_PAYMENT_MS": os.environ.get("SAGA_DEMO_PAYMENT_MS", "40"),
        }
        for service in SERVICES:
            self._fleet.start(service, [f"services.{service}"])
        if self._loyalty:
            self._fleet.start_command(LOYALTY.name, self._loyalty)
        self._fleet.start("tracker", ["saga.cli", "track", "--flows", str(FLOWS)])
        if self._pages_port:
            self._fleet.start("projector", ["saga.cli", "project"])
            served = ["saga.cli", "dashboard", "--no-project", "--port", str(self._pages_port)]
            self._fleet.start("dashboard", served)

    def _check(self) -> None:
        self._fleet.check()
        if self._kafka is not None and self._kafka.pid is None:
            raise BrokerFailed(f"Apache Kafka ended by itself. The end of its log:\n{self._kafka.log_tail()}")

    async def _show(self, settings: KafkaSettings, seconds: float) -> None:
        with self._console.status(f"Starting {len(self._services)} services and a tracker"):
            await self._until_at_work(settings)
        self._print(
            f"Kafka at {settings.bootstrap_servers}; {', '.join(self._services)} and a tracker are at work."
        )
        self._print(f"Their logs are in {self._folder / 'logs'}. Ctrl-C ends it all.")
        if self._pages_port:
            self._console.print(f"\nThe dashboard: [bold]http://{HOST}:{self._pages_port}[/bold]\n")
        book = Book(since_ms=time.time_ns() // 1_000_000)
        generator = Generator(settings, self._rate)
        if self._console.is_terminal and not self._pages_port:
            show = draw(self._console, book, _head(settings, generator.first), self._check)
        else:
            show = tell(self._console, book, self._check)
        works = (book.follow(settings), generator.run(), show)
        tasks = [asyncio.create_task(work) for work in works]
        try:
            ended, _ = await asyncio.wait(tasks, timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._say_what_was(book, generator, settings)

    async def _until_at_work(self, settings: KafkaSettings) -> None:
        """Return when Kafka hears from every service and from the tracker."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS_MAX
        while True:
            self._check()
            missing = await _not_at_work(settings, self._services)
            if self._pages_port and not listens(self._pages_port):
                missing.append("dashboard")
            if not missing:
                return
            if loop.time() > deadline:
                raise SagaError(f"not at work after {START_SECONDS_MAX} s: {', '.join(missing)}")
            await asyncio.sleep(LOOK_SECONDS)

    def _say_what_was(self, book: Book, generator: Generator, settings: KafkaSettings) -> None:
        self._print(book.summary(generator.malformed))
        show = f"saga show o-{generator.first}"
        if self._kafka is None:
            self._print(f"Look further: {show} --bootstrap-servers {settings.bootstrap_servers}")
        elif self._temporary:
            self._print(f"To look further, keep the data: saga demo --data data/demo; while it runs, {show}")
        else:
            self._print(f"Look further: saga kafka --data {self._folder / 'kafka'}; then {show}")
        self._print("Stopping.")

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)


def _head(settings: KafkaSettings, first: int) -> str:
    known = settings.bootstrap_servers == f"127.0.0.1:{KNOWN_PORT}"
    address = "" if known else f" --bootstrap-servers {settings.bootstrap_servers}"
    saga = Path(sys.executable).with_name("saga")
    if saga.is_relative_to(Path.cwd()):
        saga = saga.relative_to(Path.cwd())
    return f"saga demo · Ctrl-C ends it · look further: {saga} show o-{first}{address}"


async def _not_at_work(settings: KafkaSettings, services: Sequence[str]) -> list[str]:
    names = [*services, *TRACKER_GROUPS]
    try:
        groups = await describe_groups(settings, names)
        # The book reads the table as soon as all are at work.
        tables = await partition_counts(settings, [SAGAS_CHANGELOG_TOPIC])
    except KafkaError:
        return names  # a broker that has just started does not know of groups yet
    missing = [group.name for group in groups if group.state != "Stable"]
    return missing if tables else [*missing, SAGAS_CHANGELOG_TOPIC]


def _ignore_signals(*_: object) -> None:
    # The end has begun, and takes seconds at most: no second Ctrl-C may leave it half done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
