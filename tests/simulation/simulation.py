"""One simulation: a plan is carried out, and what came of it is judged."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from typing import Any, NamedTuple
from zlib import crc32

from saga.core.errors import SagaError
from saga.core.pause import PAUSED_TOPIC
from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.kafka import KafkaError, TopicPartition
from tests.facts import NOON_MS
from tests.simulation.auditor import Auditor, flow_of
from tests.simulation.clients import Producer, SourceConsumer
from tests.simulation.disk import Disk
from tests.simulation.faust import steps_sources
from tests.simulation.group import Group
from tests.simulation.log import Log, Record, Transaction
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.plan import (
    SERVICES,
    SESSION_MS,
    SOURCE_PARTITIONS,
    SOURCES,
    Fault,
    Plan,
)
from tests.simulation.worker import (
    OWN_TOPICS,
    SETTINGS,
    SimulatedAnnouncements,
    SimulatedEffects,
    SimulatedKnowledge,
    SimulatedPlatform,
)
from tests.simulation.world import World
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.flow import Flows
from tracker.core.frame import STEPS_TOPIC
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.runtime.collector import Collector
from tracker.runtime.figures import Figures
from tracker.runtime.tracker import Tracker

_RESTART_MS = 500
_QUIET_MS_MAX = 120_000
_STEP_MS = 500


class Outcome(NamedTuple):
    """What became of a plan: what is wrong, what happened, and a number that stands for all of it."""

    violations: list[str]
    story: list[str]
    digest: int


class _Slot:
    """A place where a process runs, dies and is started again. Its disk stays."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind = kind
        self.number = number
        self.starts = 0
        self.process: Process | None = None
        self.stop: asyncio.Event | None = None
        self.platform: SimulatedPlatform | None = None
        self.disk = Disk()
        self.restart_ms = _RESTART_MS


class Simulation:
    """Carries out a plan. One use only."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.violations: list[str] = []
        self._story: list[tuple[int, str]] = []
        self._ending = False
        self._owned: dict[int, frozenset[TopicPartition]] = {}
        self._loop = SimulatedLoop()
        self._loop.on_death = self._died
        self.log = Log(
            dict.fromkeys((*SOURCES, *OWN_TOPICS), SOURCE_PARTITIONS)
            | {STEPS_TOPIC: plan.partitions, SAGAS_CHANGELOG_TOPIC: plan.partitions}
        )
        self._network = Network(self._loop, self.log, plan.seed)
        self.world = World(self._loop, self.log, plan)
        self._flows = Flows((flow_of(plan),))
        sources = [TopicPartition(t, n) for t in SOURCES for n in range(SOURCE_PARTITIONS)]
        self._collectors = self._group("collectors", lambda: sources)
        self._trackers = self._group("trackers", lambda: steps_sources(plan.partitions))
        self._slots = {
            **{("tracker", n): _Slot("tracker", n) for n in range(plan.trackers)},
            **{("collector", n): _Slot("collector", n) for n in range(plan.collectors)},
        }
        self._auditor = Auditor(plan, self.log, self.world.obeyed, self.violations)
        self._trackers.on_commit = self._auditor.committed
        self._listen()
        for slot in self._slots.values():
            self._loop.outside(0, self._start, slot)
        for fault in plan.faults:
            self._loop.outside(fault.at_ms, self._strike, fault)

    def run(self) -> Outcome:
        """Carry it out to the end, and judge."""
        logging.disable(logging.CRITICAL)
        try:
            self._run()
        finally:
            logging.disable(logging.NOTSET)
            self._loop.end()
        story = [f"{at_ms / 1000:8.3f}  {text}" for at_ms, text in self._story]
        digest = crc32("\n".join(story).encode(), crc32(self._auditor.digest()))
        return Outcome(self.violations, story, digest)

    def _run(self) -> None:
        plan = self.plan
        last_ms = max(
            [
                *(fault.at_ms + fault.for_ms for fault in plan.faults),
                *(saga.at_ms for saga in plan.sagas),
                *(order.at_ms for order in plan.orders),
                *(booking.at_ms for booking in plan.bookings),
            ],
            default=0,
        )
        self._loop.run_until(NOON_MS + last_ms)
        end_ms = NOON_MS + last_ms + _QUIET_MS_MAX
        quiet = 0
        unrest = ""
        while quiet < 2 and self._loop.now_ms < end_ms:
            self._loop.run_until(self._loop.now_ms + _STEP_MS)
            unrest = self._unrest()
            quiet = 0 if unrest else quiet + 1
        if quiet < 2:
            self.violations.append(f"no rest {_QUIET_MS_MAX // 1000} s after the last fault: {unrest}")
        for slot in self._slots.values():
            self._stop(slot)
        self._loop.run_until(self._loop.now_ms + 5_000)
        disks = {
            source.partition: slot.disk
            for slot in self._slots.values()
            for source in self._owned.get(slot.number if slot.kind == "tracker" else -1, ())
        }
        self._auditor.judge(disks)

    def _unrest(self) -> str:
        """Why it is not over yet; "" if it is."""
        if self.world.busy:
            return f"{self.world.busy} things are still to happen"
        for slot in self._slots.values():
            if slot.process is None or slot.process.paused is not None:
                return f"{slot.kind}-{slot.number} does not run"
        for group, sources in ((self._collectors, SOURCES), (self._trackers, ())):
            if group.rebalancing:
                return "a group is rebalancing"
            if not all(member.process.alive for member in group.members.values()):
                return "a group waits for somebody who is dead"
            for topic in sources:
                for partition in self.log.topics[topic]:
                    committed = group.committed.get(TopicPartition(topic, partition.number), 0)
                    if partition.stable_end < partition.end:
                        return f"{topic}-{partition.number} has an open transaction"
                    if any(True for _ in partition.read(committed, 1)[0]):
                        return f"{topic}-{partition.number} is not collected"
        self._owned = {
            slot.number: slot.platform.faust.assignment()
            for slot in self._slots.values()
            if slot.platform is not None
        }
        return self._auditor.unrest(self._trackers.committed)

    # Processes.

    def _start(self, slot: _Slot) -> None:
        slot.starts += 1
        process = slot.process = self._loop.process(f"{slot.kind}-{slot.number}.{slot.starts}")
        stop = slot.stop = asyncio.Event()
        self._tell(f"{process.name} starts")
        work = self._collect(process, stop) if slot.kind == "collector" else self._track(slot, process, stop)
        task = process.start(work)
        task.add_done_callback(lambda ended: self._ended(slot, process, ended), context=Context())

    async def _collect(self, process: Process, stop: asyncio.Event) -> None:
        topics = dict.fromkeys(SOURCES, SOURCE_PARTITIONS)
        consumer = SourceConsumer(self._network, self._collectors, process, topics, self.plan.poll_records)
        knowledge = SimulatedKnowledge(self._network, self._flows, self.plan.kept_ms)
        collector = Collector(
            SETTINGS,
            self.plan.partitions,
            consumer,
            Producer(self._network, process),
            SimulatedAnnouncements(),
            knowledge,
            Figures(),
        )
        await collector.run(stop)

    async def _track(self, slot: _Slot, process: Process, stop: asyncio.Event) -> None:
        platform = SimulatedPlatform(self._network, self._trackers, process, slot.disk, self.plan.partitions)
        producer = Producer(self._network, process)
        tracker = Tracker(
            SETTINGS.model_copy(update={"standby": self.plan.standby}),
            platform,
            producer,
            SimulatedEffects(self._network, process, producer),
            SimulatedKnowledge(self._network, self._flows, self.plan.kept_ms),
            Figures(),
        )
        slot.platform = platform
        await tracker.run(stop)

    def _ended(self, slot: _Slot, process: Process, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._tell(f"{process.name} ends: {error!r}")
            if not isinstance(error, SagaError | KafkaError):
                self.violations.append(f"{process.name} ended with {error!r}")
        else:
            self._tell(f"{process.name} has stopped")
        process.kill()
        self._gone(slot, slot.restart_ms)

    def _gone(self, slot: _Slot, for_ms: int) -> None:
        slot.process = slot.platform = None
        slot.restart_ms = _RESTART_MS
        if not self._ending:
            self._loop.outside(for_ms, self._start, slot)

    def _stop(self, slot: _Slot) -> None:
        self._ending = True
        if slot.process is not None and slot.stop is not None:
            self._loop.inside(slot.process, 0, slot.stop.set)

    def _died(self, process: Process) -> None:
        for slot in self._slots.values():
            if slot.process is process:
                self._tell(f"{process.name} dies")
                self._silent(process)
                self._gone(slot, slot.restart_ms)

    def _silent(self, process: Process) -> None:
        self._collectors.silent(process)
        self._trackers.silent(process)

    # Faults.

    def _strike(self, fault: Fault) -> None:
        action, _, kind = fault.kind.partition("-")
        slot = self._slots.get((kind, fault.who))
        if slot is not None:
            process = slot.process
            if process is None or not process.alive or process.paused is not None:
                return
            self._tell(f"{fault.kind} {process.name} for {fault.for_ms} ms, {fault.steps} steps later")
            if action in ("kill", "wipe"):
                if action == "wipe":
                    slot.disk = Disk()
                slot.restart_ms = fault.for_ms
                process.steps_left = fault.steps
            elif action == "pause":
                self._pause(process, fault.for_ms)
            elif slot.stop is not None:
                slot.restart_ms = fault.for_ms
                self._loop.inside(process, 0, slot.stop.set)
            return
        self._tell(f"{fault.kind} {fault.who} for {fault.for_ms} ms")
        until_ms = self._loop.now_ms + fault.for_ms
        source = SOURCES[fault.who % len(SOURCES)], fault.who % SOURCE_PARTITIONS
        down = self._network.down_until_ms
        match fault.kind:
            case "slow-source":
                self._network.stalled_until_ms[source] = until_ms
            case "open-transaction":
                self._open_transaction(source, fault.for_ms)
            case "refuse-effects":
                for topic in SERVICES:
                    down[topic] = until_ms
            case "no-effects":
                for topic in OWN_TOPICS:
                    down[topic] = until_ms
            case "no-changelog":
                down[SAGAS_CHANGELOG_TOPIC] = until_ms
            case "no-frames":
                down[STEPS_TOPIC] = until_ms
            case "lose-fetch":
                for slot in self._slots.values():
                    if slot.platform is not None:
                        slot.platform.faust.lose_fetch = True
            case "pause-service":
                self.world.pause(SERVICES[fault.who % len(SERVICES)], fault.for_ms)
            case "compact":
                for partition in self.log.topics[SAGAS_CHANGELOG_TOPIC]:
                    partition.compact(2)

    def _pause(self, process: Process, for_ms: int) -> None:
        process.pause()
        self._silent(process)

        def resume() -> None:
            if process.alive and process.paused is not None:
                self._tell(f"{process.name} goes on")
                process.resume()

        self._loop.outside(for_ms, resume)

    def _open_transaction(self, source: tuple[str, int], for_ms: int) -> None:
        """Somebody writes, and neither commits nor aborts for long."""
        transaction = Transaction()
        partition = self.log.partition(*source)
        now_ms = self._loop.now_ms
        partition.append(now_ms, now_ms, b"?", b"ghost", (), transaction)
        self._loop.outside(for_ms, self._abort, transaction)

    def _abort(self, transaction: Transaction) -> None:
        self.log.end(transaction, self._loop.now_ms, commit=False)

    # What is told.

    def _group(self, name: str, sources: Callable[[], Any]) -> Group:
        group = Group(self._loop, name, sources, SESSION_MS, self._network.jitter)
        group.on_deal = lambda text: self._tell(text)
        return group

    def _listen(self) -> None:
        for topic in (*SOURCES, *OWN_TOPICS):
            for partition in self.log.topics[topic]:
                partition.witness = self._witness
        for partition in self.log.topics[STEPS_TOPIC]:
            partition.witness = self._auditor.frame
        for partition in self.log.topics[SAGAS_CHANGELOG_TOPIC]:
            partition.witness = self._auditor.row

    def _witness(self, record: Record) -> None:
        kind = dict(record.headers).get("ce_type") or (b"" if record.topic != RECEIPTS_TOPIC else b"receipt")
        if record.topic == COMMANDS_TOPIC:
            kind = b"command"
        elif record.topic == PAUSED_TOPIC:
            kind = b"goes on" if record.value is None else b"paused"
        place = f"{record.topic}-{record.partition}@{record.offset}"
        key = (record.key or b"").decode()
        self._auditor.placed(record)
        self._tell(f"{place:24} {key:10} {kind.decode()}")

    def _tell(self, text: str) -> None:
        self._story.append((self._loop.now_ms - NOON_MS, text))


def simulate(plan: Plan) -> Outcome:
    """Carry out a plan."""
    return Simulation(plan).run()
