"""The flows that sagas follow, in all versions that ever ran, and the correlation rules of foreign topics,
from the compacted topic `saga.flows`.

A tracker puts the files of its folder there. So each saga keeps the version that it began with, on
every tracker, when the file has long moved on.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from saga.runtime.kafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, reader
from tracker.core.correlation import Rule, Rules
from tracker.core.flow import Flow, Flows
from tracker.flow.correlate import same_rule
from tracker.flow.parse import same_meaning
from tracker.flow.problem import Problem
from tracker.flow.record import (
    FLOWS_TOPIC,
    Refused,
    UnreadableFlow,
    Version,
    decode_record,
    encode_flow,
    encode_refused,
    encode_rule,
    flow_key,
    problems_key,
    rule_key,
)
from tracker.runtime.flow_folder import FlowFolder, Problems
from tracker.runtime.settings import TrackerSettings

logger = logging.getLogger(__name__)

_POLL_MS = 500
_LOOK_SECONDS = 1.0
_LOGGED_MAX = 20

_Found = Version | Refused | Problem | None
"""What a record says; None: it is gone."""


class FlowRegistry:
    """All known flows; kept current as long as `run` does.

    A file or record that is no flow is left out, told once in the log and kept in `problems`: it stops
    neither the others nor the tracker.
    """

    def __init__(self, settings: TrackerSettings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._folder = FlowFolder(Path(settings.flows_dir)) if settings.flows_dir else None
        self._looked_at = float("-inf")
        self._known: dict[str, Flow] = {}
        self._retired: set[tuple[str, int]] = set()
        self._known_rules: dict[str, tuple[Rule, bool]] = {}
        self._refused: dict[str, Refused] = {}
        self._in_files: Problems = {}
        self._in_records: Problems = {}
        self._ready = asyncio.Event()
        self.flows = Flows()
        """Replaced by another object when it changes."""
        self.rules = Rules()
        """Those that are not retired; replaced like the flows."""

    @property
    def problems(self) -> Mapping[str, tuple[Problem, ...]]:
        """What is wrong, by file, or by key where it is a record of the topic."""
        return {**self._in_records, **{file: found for file, found in self._in_files.items() if found}}

    async def ready(self) -> None:
        """Wait until all is known that was published before, and that this tracker's own folder adds."""
        await self._ready.wait()

    async def run(self, stop: asyncio.Event) -> None:
        """Read the topic from its beginning, follow the folder, and go on until told to stop.

        Raises
        ------
        KafkaError
            The topic can't be read or written.
        """
        async with reader(self._settings, FLOWS_TOPIC) as consumer:
            await self._read_to_end(consumer)
            await self._follow_folder()
            await self._read_to_end(consumer)  # what has just been published, too
            self._ready.set()
            while not stop.is_set():
                changed = await self._read(consumer)
                await self._follow_folder(changed)

    async def _read_to_end(self, consumer: AIOKafkaConsumer) -> None:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(source) < end for source, end in ends.items()]):
            await self._read(consumer)

    async def _read(self, consumer: AIOKafkaConsumer) -> bool:
        """Take in what comes within `_POLL_MS`; whether that changes the flows."""
        before = dict(self._known), set(self._retired), dict(self._known_rules)
        for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
            # A file takes milliseconds to parse, and there may be hundreds.
            for key, found in await asyncio.to_thread(_decoded, records):
                self._take(key, found)
        if (self._known, self._retired, self._known_rules) == before:
            return False
        self.rules = Rules(rule for rule, retired in self._known_rules.values() if not retired)
        self.flows = Flows(tuple(self._known.values()), frozenset(self._retired))
        return True

    def _take(self, key: str, found: _Found) -> None:
        self._refused.pop(key, None)
        self._in_records.pop(key, None)
        match found:
            case None:
                self._known_rules.pop(key, None)
                gone = self._known.pop(key, None)
                if gone is not None:
                    self._retired.discard((gone.name, gone.version))
            case Refused():
                self._refused[key] = found
            case Problem():
                self._quarantine(key, (found,))
            case Version(file, retired):
                if file.rule is not None:
                    self._put_rule(key, file.rule, retired)
                elif file.flow is None:
                    self._quarantine(key, file.problems)
                else:
                    self._put(key, file.flow, retired)

    def _put(self, key: str, flow: Flow, retired: bool) -> None:
        before = self._known.get(key)
        if before is not None and not same_meaning(before, flow):
            # Two trackers with different files at the same moment. All follow the order of the topic.
            logger.warning("%s was published twice, with different content: the later one counts", key)
        self._known[key] = flow
        if retired:
            self._retired.add((flow.name, flow.version))
        else:
            self._retired.discard((flow.name, flow.version))

    def _put_rule(self, key: str, rule: Rule, retired: bool) -> None:
        before, _ = self._known_rules.get(key, (rule, False))
        if before.version == rule.version and not same_rule(before, rule):
            logger.warning("%s was published twice, with different content: the later one counts", key)
        self._known_rules[key] = rule, retired

    def _quarantine(self, key: str, problems: tuple[Problem, ...]) -> None:
        """A version that is known stays known: its sagas go on."""
        self._in_records[key] = problems
        _log(f"the flow {key} in {FLOWS_TOPIC}", problems)

    async def _follow_folder(self, changed: bool = False) -> None:
        """Publish the new versions in the folder, and what is wrong with its files."""
        folder = self._folder
        if folder is None or (not changed and time.monotonic() - self._looked_at < _LOOK_SECONDS):
            return
        first = self._looked_at == float("-inf")
        self._looked_at = time.monotonic()
        if not await asyncio.to_thread(folder.look) and not changed and not first:
            return
        followed = Rules(rule for rule, _ in self._known_rules.values())
        flows, problems = folder.judged(self.flows, followed)
        for flow in flows:
            key = flow_key(flow.name, flow.version)
            if key not in self._known:
                logger.info("%s is published: it begins with %s", key, flow.begins)
                await self._producer.send_and_wait(FLOWS_TOPIC, encode_flow(flow), key=key.encode())
        for rule in folder.rules(problems):
            known = followed.get(rule.name)
            if known is None or known.version < rule.version:
                logger.info("the rule %s is published: it is for %s", rule.name, ", ".join(rule.topics))
                key = rule_key(rule.name)
                await self._producer.send_and_wait(FLOWS_TOPIC, encode_rule(rule), key=key.encode())
        await self._tell(folder, problems, first)

    async def _tell(self, folder: FlowFolder, problems: Problems, first: bool) -> None:
        """Log what is new, and put it where `saga flows` finds it."""
        before, self._in_files = self._in_files, problems
        for file, found in problems.items():
            if found and found != before.get(file):
                _log(f"the flow file {file} is not followed", found)
        # Only what has changed here: other trackers may have other files under the same names.
        changed = {file: problems.get(file, ()) for file in before.keys() | problems.keys()}
        if first:
            inside = f"{folder.folder}/"
            for refused in self._refused.values():
                if refused.file.startswith(inside):
                    changed.setdefault(refused.file, ())
        for file, found in changed.items():
            if not first and found == before.get(file, ()):
                continue
            known = self._refused.get(problems_key(file))
            if found != (() if known is None else known.problems):
                value = encode_refused(file, found) if found else None
                await self._producer.send_and_wait(FLOWS_TOPIC, value, key=problems_key(file).encode())


def _decoded(records: list[ConsumerRecord]) -> list[tuple[str, _Found]]:
    found: list[tuple[str, _Found]] = []
    for record in records:
        key = (record.key or b"").decode(errors="replace")
        try:
            found.append((key, None if record.value is None else decode_record(key, record.value)))
        except UnreadableFlow as error:
            found.append((key, Problem(key, 1, 1, str(error))))
    return found


def _log(what: str, problems: tuple[Problem, ...]) -> None:
    shown = [str(problem) for problem in problems[:_LOGGED_MAX]]
    if len(problems) > _LOGGED_MAX:
        shown.append(f"and {len(problems) - _LOGGED_MAX} more")
    logger.error("%s:\n  %s", what, "\n  ".join(shown))
