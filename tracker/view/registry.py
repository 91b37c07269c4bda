"""The flows and correlation rules that a cluster follows, as they stand on `saga.flows`."""

from msgspec import Struct

from saga.runtime.settings import KafkaSettings
from tracker.core.correlation import Rule
from tracker.core.flow import Flow, Flows
from tracker.flow.parse import FlowFile
from tracker.flow.problem import Problem
from tracker.flow.record import FLOWS_TOPIC, Refused, UnreadableFlow, decode_record
from tracker.view.changelog import read_compacted


class Registry(Struct, frozen=True):
    """What was read.

    Attributes
    ----------
    files : the readable versions, by name and number, the newest first.
    retired : those that begin no more sagas.
    problems : of versions that can't be read, and of files that a tracker refused.
    rules : the correlation rules, by name.
    retired_rules : the names of those that are applied no more.
    """

    files: tuple[FlowFile, ...]
    retired: frozenset[tuple[str, int]]
    problems: tuple[Problem, ...]
    rules: tuple[Rule, ...] = ()
    retired_rules: frozenset[str] = frozenset()

    @property
    def versions(self) -> tuple[Flow, ...]:
        return tuple(file.flow for file in self.files if file.flow is not None)

    @property
    def flows(self) -> Flows:
        return Flows(self.versions, self.retired)


async def read_registry(settings: KafkaSettings) -> Registry:
    """All of it; nothing when no tracker has been there yet."""
    files: list[tuple[str, int, FlowFile]] = []
    retired: set[tuple[str, int]] = set()
    problems: list[Problem] = []
    rules: list[Rule] = []
    retired_rules: set[str] = set()
    for raw, value in (await read_compacted(settings, FLOWS_TOPIC)).items():
        key = raw.decode(errors="replace")
        try:
            found = decode_record(key, value)
        except UnreadableFlow as error:
            problems.append(Problem(key, 1, 1, str(error)))
            continue
        if isinstance(found, Refused):
            problems.extend(found.problems)
            continue
        problems.extend(found.file.problems)
        if (rule := found.file.rule) is not None:
            rules.append(rule)
            if found.retired:
                retired_rules.add(rule.name)
        if (flow := found.file.flow) is not None:
            files.append((flow.name, -flow.version, found.file))
            if found.retired:
                retired.add((flow.name, flow.version))
    ordered = tuple(file for *_, file in sorted(files, key=lambda each: each[:2]))
    by_name = tuple(sorted(rules, key=lambda rule: rule.name))
    return Registry(ordered, frozenset(retired), tuple(sorted(problems)), by_name, frozenset(retired_rules))
