"""The judge: what should have come of the facts on the log. Simpler than the tracker, and none of its code.

Only formats are shared: frames and sagas are read with their own decoders. What is decided, and when, is
found here anew: from what stands on the topics, in what order the frames told it, and what services did.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise, zip_longest
from typing import NamedTuple

from msgspec import json

from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.kafka import TopicPartition
from tests.simulation.disk import Disk
from tests.simulation.log import Log, Record
from tests.simulation.plan import (
    BANK_KEYS,
    BANK_TOPIC,
    CHARGE_WITHIN_MS,
    DELAY_MS,
    LEAVING_TRACKERS_ALONE,
    SERVICES,
    SILENT_MORE_MS,
    UNDO_ATTEMPTS,
    UNDO_WITHIN_MS,
    WITHIN_MS,
    Plan,
)
from tests.simulation.world import Obeyed
from tracker.core.effect import ALERTS_TOPIC, ANSWERS_TOPIC, LIFECYCLE_TOPIC
from tracker.core.flow import (
    Between,
    Compensation,
    Emit,
    Flow,
    Milestone,
    OnBreach,
    Undo,
    WhenDeadLetter,
    WhenEvent,
)
from tracker.core.frame import (
    ChildBegun,
    CommandSeen,
    EventSeen,
    Fact,
    HandedOn,
    Joined,
    ReceiptSeen,
    decode_frame,
)
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, Saga, Step, decode_saga

ENDS = {"parcel.dispatched": "completed", "order.cancelled": "failed"}
UNDONE = {"stock.reserved": 0, "payment.charged": 1}
PIVOT = "parcel.dispatched"
_MARGIN_MS = 12_000
"""So exactly it is kept when a saga was heard of last."""

TRIGGERS = ("payment.declined", "parcel.lost")


def flow_of(plan: Plan) -> Flow:
    """The flow that all sagas of a plan follow."""
    return Flow(
        name="order",
        version=1,
        begins="order.placed",
        completed=("parcel.dispatched",),
        failed=("order.cancelled",),
        events={
            "stock.reserved": Milestone("inventory", _undo("stock.release", "stock.released")),
            "payment.charged": Milestone("payments", _undo("payment.refund", "payment.refunded")),
            "parcel.dispatched": Milestone("shipping", pivot=True),
        },
        rules=(
            Between(
                "ship-on-time",
                WITHIN_MS,
                "order.placed",
                (),
                WITHIN_MS * 8 // 10,
                OnBreach(compensate=plan.breach_compensates),
            ),
            Between("charge-fast", CHARGE_WITHIN_MS, "stock.reserved", ("payment.charged",)),
        ),
        compensation=Compensation(
            (*(WhenEvent(name) for name in TRIGGERS), WhenDeadLetter()),
            "parallel" if plan.parallel else "reverse",
            Emit("order.cancelled"),
        ),
        pauses=(WhenDeadLetter(),) if plan.failures_pause else (),
    )


def _undo(command: str, confirmed: str) -> Undo:
    return Undo(Emit(command), confirmed, UNDO_WITHIN_MS, UNDO_ATTEMPTS)


class Event(NamedTuple):
    """An event as it stands on the log: every copy has a place, the first of them counts for `placed_ms`."""

    id: str
    type: str
    time_ms: int
    cause: str
    placed_ms: int
    places: frozenset[tuple[str, int, int]]


class Truth:
    """What the log says of one saga."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.receipts: dict[str, set[tuple[str, int, str, int]]] = defaultdict(set)
        self.parent: tuple[str, str] | None = None
        self.children: set[tuple[str, str, str, int]] = set()

    def of(self, *types: str) -> list[Event]:
        """The events of these types, oldest first."""
        found = [event for event in self.events.values() if event.type in types]
        return sorted(found, key=lambda event: (event.time_ms, event.id))

    def told_to(self, saga: Saga) -> "Truth":
        """As much of it as this saga knew."""
        found = Truth()
        found.parent, found.children = self.parent, self.children & _children(saga)
        for event, step in saga.steps.items():
            if step.seen is not None and event in self.events:
                told = self.events[event]
                found.events[event] = told._replace(places=told.places & _places(step))
            if receipts := self.receipts.get(event, set()) & _receipts(step):
                found.receipts[event] = receipts
        return found

    def causes(self, event: Event) -> Iterator[str]:
        known: Event | None = event
        while known is not None and known.cause:
            yield known.cause
            known = self.events.get(known.cause)


class Left(NamedTuple):
    """A saga has left the table: what it was, and when its row was removed."""

    saga: Saga
    at_ms: int


class Auditor:
    """Watches the log while things happen, and judges when all is quiet. Adds to `violations`."""

    def __init__(self, plan: Plan, log: Log, obeyed: Obeyed, violations: list[str]) -> None:
        self._plan = plan
        self._log = log
        self._obeyed = obeyed
        self._violations = violations
        self._ahead_ms = max(0, *plan.skews_ms)
        self._rows: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._frames: dict[int, list[dict[str, list[Fact]]]] = defaultdict(list)
        self._last_facts: dict[int, int] = {}
        self._checked: Counter[int] = Counter()
        self._begun: set[str] = set()
        self._left: dict[str, list[Left]] = defaultdict(list)
        self._now_ms = 0
        self._told_to: dict[str, set[str]] = defaultdict(set)
        self._order: list[tuple[str, str]] = []
        self._asked: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))

    # What is watched.

    def frame(self, record: Record) -> None:
        """A frame has been placed."""
        self._now_ms = record.placed_ms
        sagas = decode_frame(record.value or b"").sagas
        self._frames[record.partition].append(sagas)
        if sagas:
            self._last_facts[record.partition] = record.offset
        for name, facts in sagas.items():
            self._told_to[name] |= {fact.id for fact in facts if isinstance(fact, EventSeen)}

    def row(self, record: Record) -> None:
        """A row of the table has been placed on its changelog."""
        self._now_ms = record.placed_ms
        key, rows = record.key or b"", self._rows[record.partition]
        if record.value is not None:
            rows[key] = record.value
        elif key in rows:
            self._left[key.decode()].append(Left(decode_saga(rows.pop(key)), record.placed_ms))

    def placed(self, record: Record) -> None:
        """Any other record has been placed."""
        headers = dict(record.headers)
        name = _text(headers.get("ce_correlationid"))
        self._order.append((name, _text(headers.get("ce_type"))))
        if record.topic in SERVICES and headers.get("ce_source") == b"tracker":
            self._asked[name][_text(headers["ce_id"])].append(_time_ms(record))

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """A tracker commits offsets of frames: what they told must be in the changelog by now."""
        for (_, partition), offset in offsets.items():
            if offset > len(self._frames[partition]):
                self._violations.append(f"offset {offset} of partition {partition} does not exist")
            told: dict[str, list[Fact]] = defaultdict(list)
            for frame in self._frames[partition][self._checked[partition] : offset]:
                for name, facts in frame.items():
                    if any(not isinstance(fact, CommandSeen) for fact in facts):
                        self._begun.add(name)
                    # A command for a saga that nobody knows as yet leaves nothing behind.
                    told[name] += [
                        fact for fact in facts if name in self._begun or not isinstance(fact, CommandSeen)
                    ]
            self._checked[partition] = max(self._checked[partition], offset)
            for name, facts in told.items():
                self._check_kept(partition, name, facts)

    def _check_kept(self, partition: int, name: str, facts: list[Fact]) -> None:
        row = self._rows[partition].get(name.encode())
        lives = [] if row is None else [decode_saga(row)]
        left = self._left.get(name, [])
        lives += [life.saga for life in left]
        for fact in facts:
            kept = any(_keeps(saga, fact) or self._hands_on(saga, fact) for saga in lives)
            if not kept and not (left and self._too_late(fact)):
                self._violations.append(
                    f"{name}: offsets are ahead of the state: {fact} is committed and not in the changelog"
                )

    def _hands_on(self, saga: Saga, fact: Fact) -> bool:
        """Whether the saga belongs to others, of which one has been told of it by now."""
        links = () if saga.joins is None else saga.joins.links
        return isinstance(fact, EventSeen) and any(
            fact.id in self._told_to.get(link.saga, ()) for link in links
        )

    def _too_late(self, fact: Fact) -> bool:
        """Whether it is told of a saga that has left, and is so old that it begins nothing."""
        if isinstance(fact, CommandSeen | HandedOn):
            return True
        return fact.told_ms + self._plan.kept_ms < self._now_ms + self._ahead_ms

    def unrest(self, committed: Mapping[TopicPartition, int]) -> str:
        """Why the tracker is not done yet; "" if it is."""
        for partition, offset in self._last_facts.items():
            if committed.get(TopicPartition("saga.steps", partition), 0) <= offset:
                return f"frame {offset} of partition {partition} is not committed"
        for name, saga in self._sagas().items():
            if saga.due_ms >= 0:
                return f"{name} waits for its deadline {saga.due_ms}"
            leaves_ms = _heard_ms(saga) + self._plan.kept_ms + SILENT_MORE_MS + _MARGIN_MS
            if self._plan.kept_ms >= 0 and (not _stays(saga) or self._now_ms < leaves_ms):
                return f"{name} has not left"
        return ""

    def _sagas(self) -> dict[str, Saga]:
        return {
            key.decode(): decode_saga(row)
            for rows in self._rows.values()
            for key, row in rows.items()
            if b"\0" not in key
        }

    def digest(self) -> bytes:
        """All rows, for a comparison of two runs."""
        return b"".join(
            key + row for _, rows in sorted(self._rows.items()) for key, row in sorted(rows.items())
        )

    # What is judged.

    def judge(self, disks: Mapping[int, Disk]) -> None:
        """All is quiet: look at everything. `disks` are those of who owned each partition last."""
        self._judge_table(disks)
        truths = self._truths()
        sagas = self._sagas()
        lifecycle, accepted = self._told(LIFECYCLE_TOPIC), self._accepted()
        alerts, homes = self._told(ALERTS_TOPIC), self._homes()
        last = {name: left[-1].saga for name, left in self._left.items()} | sagas
        for name in sorted(truths.keys() | last.keys() | homes.keys()):
            left = self._left.get(name, [])
            lives = [life.saga for life in left]
            if name in sagas:
                lives.append(sagas[name])
            if not lives:
                self._violations.append(f"{name}: is not in the table")
                continue
            if homes.get(name, name) != name or last[name].joined:
                problems = [*self._judge_joined(name, homes, last)]
                self._violations += [f"{name}: {problem}" for problem in problems]
                continue
            saga, truth, history = lives[0], truths[name], self._history(name)
            problems = []
            if any(told["cause"] == "contradiction" for told in alerts[name].values()):
                problems.append("is told to contradict what was known, and does not")
            if left:
                abandoned = any(told["cause"] == "abandoned" for told in alerts[name].values())
                problems += self._judge_leaving(left, abandoned)
                problems += self._judge_late(truth, lives)
                truth, history = truth.told_to(saga), _told_to(saga, history)
            judged = _Judged(self._plan, name, saga, truth, lifecycle[name], self._ahead_ms, left=bool(left))
            problems += [
                *judged.facts(),
                *judged.pauses(history, accepted, name in self._obeyed.paused),
                *judged.deadlines(),
                *judged.lifecycle(),
                *judged.compensation(history, self._obeyed.undone.get(name, Counter())),
                *judged.attempts(self._asked[name].values()),
                *self._judge_order(name, saga, history),
            ]
            self._violations += [f"{name}: {problem}" for problem in problems]
        self._judge_answers()

    def _homes(self) -> dict[str, str]:
        """By name of a saga the one that it belongs to: of all that are named together the earliest key's."""
        groups: list[set[str]] = []
        for record in self._log.visible(BANK_TOPIC):
            names = set(_names(record))
            together = [group for group in groups if group & names]
            groups = [group for group in groups if not group & names] + [names.union(*together)]
        return {
            name: next(name for key in BANK_KEYS for name in group if name.startswith(key))
            for group in groups
            for name in group
        }

    def _judge_joined(self, name: str, homes: Mapping[str, str], last: Mapping[str, Saga]) -> Iterator[str]:
        """A saga that belongs to another one leads there, and keeps nothing for itself."""
        home, passed = name, {name}
        while home in last and last[home].joined and last[home].joined not in passed:
            home = last[home].joined
            passed.add(home)
        if home != homes.get(name):
            yield f"belongs to {home}, and the records say {homes.get(name)}"
        if last[name].steps:
            yield f"belongs to {home}, and keeps {set(last[name].steps)}"

    def _judge_table(self, disks: Mapping[int, Disk]) -> None:
        for partition, rows in self._rows.items():
            kept: dict[bytes, bytes] = {}
            for record in self._log.partition(SAGAS_CHANGELOG_TOPIC, partition).records:
                if record.value is not None:
                    kept[record.key or b""] = record.value
                else:
                    kept.pop(record.key or b"", None)
            if kept != rows:
                self._violations.append(f"compaction has changed partition {partition} of the changelog")
            disk = disks.get(partition)
            on_disk = {} if disk is None else disk.databases.get(partition, ({}, 0))[0]
            different = sorted(
                key.decode() for key in kept.keys() | on_disk.keys() if kept.get(key) != on_disk.get(key)
            )
            if different:
                self._violations.append(
                    f"disk and changelog of partition {partition} differ in {', '.join(map(repr, different))}"
                )

    def _judge_leaving(self, left: list[Left], abandoned: bool) -> Iterator[str]:
        """Nobody leaves before the time, or with something left to do."""
        for saga, at_ms in left:
            kept_ms = self._plan.kept_ms
            if kept_ms < 0:
                yield f"left at {at_ms}, and is kept for a week"
            if _stays(saga) or saga.due_ms >= 0:
                yield f"left at {at_ms}, and was not done: {saga.course}, due at {saga.due_ms}"
            course = saga.course
            if course is not None and course.flow and not course.outcome and course.compensation is None:
                kept_ms += SILENT_MORE_MS
                if not abandoned:
                    yield f"left at {at_ms} without having ended, and nobody was told"
            if at_ms + self._ahead_ms < _heard_ms(saga) + kept_ms:
                yield f"left at {at_ms}, and was heard of at {_heard_ms(saga)}: it is kept for {kept_ms} ms"

    def _judge_late(self, truth: Truth, lives: list[Saga]) -> Iterator[str]:
        """What came after a saga had left begins another one only if it is new."""
        known: set[str] = set()
        for saga in lives:
            if again := known & saga.steps.keys():
                yield f"began anew with what it had been told before: {again}"
            known |= saga.steps.keys()
        leaves_ms = max(map(_heard_ms, lives)) + self._plan.kept_ms
        for event in truth.events.values():
            if event.id not in known and event.placed_ms + self._ahead_ms <= leaves_ms:
                yield f"{event} came in time, and was left out"

    def _truths(self) -> dict[str, Truth]:
        truths: dict[str, Truth] = defaultdict(Truth)
        for topic in SERVICES:
            for record in self._log.visible(topic):
                headers = dict(record.headers)
                name, event = _text(headers["ce_correlationid"]), _text(headers["ce_id"])
                place = record.topic, record.partition, record.offset
                known = truths[name].events.get(event)
                if parent := _text(headers.get("ce_parentcorrelationid")):
                    cause = _text(headers["ce_causationid"])
                    truths[name].parent = parent, cause
                    child = name, _text(headers["ce_type"]), cause, _time_ms(record)
                    truths[parent].children.add(child)
                truths[name].events[event] = Event(
                    event,
                    _text(headers["ce_type"]),
                    min(_time_ms(record), known.time_ms if known else _time_ms(record)),
                    _text(headers.get("ce_causationid")),
                    min(record.placed_ms, known.placed_ms if known else record.placed_ms),
                    frozenset({place, *(known.places if known else ())}),
                )
        homes = self._homes()
        for record in self._log.visible(BANK_TOPIC):
            event = f"{record.topic}-{record.partition}-{record.offset:012}"
            kind = json.decode(record.value or b"")["type"]
            place = record.topic, record.partition, record.offset
            truths[homes[_names(record)[0]]].events[event] = Event(
                event, kind, record.timestamp, "", record.placed_ms, frozenset({place})
            )
        for record in self._log.visible(RECEIPTS_TOPIC):
            batch = json.decode(record.value or b"")
            for receipt in batch["receipts"]:
                told = batch["service"], receipt["attempt"], receipt["outcome"], receipt["at_ms"]
                truths[receipt["saga"]].receipts[receipt["event"]].add(told)
        return truths

    def _told(self, topic: str) -> dict[str, dict[str, dict[str, object]]]:
        """What was told on a topic, by saga and id; the same id must always say the same."""
        found: dict[str, dict[str, dict[str, object]]] = defaultdict(dict)
        for record in self._log.visible(topic):
            headers = dict(record.headers)
            told, event = json.decode(record.value or b""), _text(headers["ce_id"])
            name = _text(headers["ce_correlationid"])
            before = found[name].setdefault(event, {**told, "placed_ms": record.placed_ms})
            if any(before.get(field) != told.get(field) for field in ("stage", "rule", "due_ms")):
                self._violations.append(f"{name}: {before} and {told} have one id")
        return found

    def _history(self, name: str) -> list[list[Fact]]:
        """What the frames told of a saga, in their order."""
        return [frame[name] for frames in self._frames.values() for frame in frames if name in frame]

    def _judge_order(self, name: str, saga: Saga, history: list[list[Fact]]) -> Iterator[str]:
        """Reverse: what was charged is given back before the stock is released."""
        course = saga.course
        if self._plan.parallel or course is None or course.compensation is None:
            return
        if not course.compensation.trigger:
            return  # a breach or an operator: when it began is not told by the frames
        if any(act.action in ("skip", "done") for act in course.history):
            return
        told = [kind for saga_id, kind in self._order if saga_id == name]
        known = _types_at_trigger(history)
        if "payment.charged" in known and "stock.release" in told:
            before = told[: told.index("stock.release")]
            if "payment.refunded" not in before and not _late_charge(saga):
                yield f"stock.release was asked for before payment.refunded came: {told}"

    def _accepted(self) -> set[str]:
        """The commands that were done. Of two copies of one, the first may have come before its saga."""
        answers = [json.decode(record.value or b"") for record in self._log.visible(ANSWERS_TOPIC)]
        return {answer["command"] for answer in answers if answer["accepted"]}

    def _judge_answers(self) -> None:
        answered = {
            _text(dict(record.headers).get("ce_causationid")) for record in self._log.visible(ANSWERS_TOPIC)
        }
        for frames in self._frames.values():
            for frame in frames:
                for name, facts in frame.items():
                    for fact in facts:
                        if isinstance(fact, CommandSeen) and fact.id not in answered:
                            self._violations.append(f"{name}: nobody answered {fact.id} ({fact.action})")


class _Judged:
    """One saga before the judge."""

    def __init__(
        self,
        plan: Plan,
        name: str,
        saga: Saga,
        truth: Truth,
        lifecycle: Mapping[str, Mapping[str, object]],
        ahead_ms: int,
        *,
        left: bool,
    ) -> None:
        self._plan = plan
        self._name = name
        self._saga = saga
        self._truth = truth
        self._ahead_ms = ahead_ms
        self._left = left
        self._stages: Counter[str] = Counter(str(told["stage"]) for told in lifecycle.values())
        self._breached = {
            str(told["rule"]): _number(told["due_ms"])
            for told in lifecycle.values()
            if told["stage"] == "breached"
        }
        paused_ms, resumed_ms = (
            sorted(_number(told["at_ms"]) for told in lifecycle.values() if told["stage"] == stage)
            for stage in ("paused", "resumed")
        )
        self._pauses = list(zip_longest(paused_ms, resumed_ms))
        self._lifecycle = lifecycle.values()
        self._operated = any(order.saga == name for order in plan.orders)
        self._script = next((saga for saga in plan.sagas if saga.name == name), None)

    def facts(self) -> Iterator[str]:
        """Events and receipts are those on the log, and so are its parent and its children."""
        truth, steps = self._truth, self._saga.steps
        parent = None if self._saga.parent is None else (self._saga.parent.saga, self._saga.parent.event)
        if parent != truth.parent:
            yield f"its parent is {parent}, and the log says {truth.parent}"
        if _children(self._saga) != truth.children:
            yield f"its children are {_children(self._saga)}, and the log says {truth.children}"
        for event in truth.events.keys() ^ {event for event, step in steps.items() if step.seen is not None}:
            yield f"{event} is {'not in the saga' if event in truth.events else 'nowhere on the log'}"
        for event, told in truth.events.items():
            step = steps.get(event)
            if step is None or step.seen is None:
                continue
            seen = step.seen
            copies = _places(step)
            if (seen.type, seen.time_ms, copies) != (told.type, told.time_ms, told.places):
                yield f"{event} is {seen} with copies {sorted(copies)}, and the log says {told}"
        for event in truth.receipts.keys() | steps.keys():
            known = _receipts(steps[event]) if event in steps else set()
            if known != truth.receipts.get(event, set()):
                yield f"receipts of {event} are {known}, and the log says {truth.receipts.get(event)}"

    def pauses(self, history: list[list[Fact]], accepted: set[str], held: bool) -> Iterator[str]:
        """The saga stood still when operators asked for it or a service gave it up, and only then."""
        course = self._saga.course
        over = course is not None and (course.outcome != "" or course.compensation is not None)
        over = over or self._left
        asked, paused = _asked(history, accepted), False
        by_failure_ms = [
            act.at_ms
            for act in (course.history if course is not None else ())
            if (act.by, act.action) == ("tracker", "pause")
        ]
        failed = _failed(self._name, history) if self._plan.failures_pause else set()
        for at_ms in Counter(by_failure_ms) - Counter(at_ms for _, _, at_ms in failed):
            yield f"paused itself at {at_ms}, and nothing was given up then: {failed}"
        undoing = None if course is None else course.compensation
        undone_for_it = undoing is not None and undoing.trigger in {event for event, _, _ in failed}
        if failed and not self._pauses and (undone_for_it or not over) and not self._left:
            yield f"was given up, {failed}, and not paused"
        # When a failure was read, between which commands, the frames do not tell of one that came early.
        for command in [] if by_failure_ms else asked:
            if command.id in accepted:
                if paused == (command.action == "pause"):
                    yield f"{command.id}: {command.action} was accepted, and it was so already"
                paused = not paused
            elif paused == (command.action == "resume") and not (over and command.action == "pause"):
                yield f"{command.id}: {command.action} was refused, and could have been done"
        for stage, action in (("paused", "pause"), ("resumed", "resume")):
            moments = sorted(
                (_number(told["at_ms"]), _number(told["placed_ms"]))
                for told in self._lifecycle
                if told["stage"] == stage
            )
            done_ms = [
                command.at_ms for command in asked if command.action == action and command.id in accepted
            ]
            done_ms = sorted(done_ms + by_failure_ms) if stage == "paused" else done_ms
            if len(moments) != len(done_ms):
                yield f"{len(done_ms)} times {stage}, and {len(moments)} were told"
            for asked_ms, (at_ms, placed_ms) in zip(done_ms, moments, strict=False):
                if not asked_ms - self._ahead_ms <= at_ms <= placed_ms:
                    yield f"{stage} at {at_ms} as of {asked_ms}, which was told at {placed_ms}"
        known = [(pause.from_ms, pause.to_ms) for pause in (course.pauses if course is not None else ())]
        if known != [(from_ms, -1 if to_ms is None else to_ms) for from_ms, to_ms in self._pauses]:
            yield f"pauses in the table are {known}, and those told {self._pauses}"
        if held != self._paused:
            yield f"services {'' if held else 'do not '}leave it alone, and its pauses are {self._pauses}"

    @property
    def _paused(self) -> bool:
        return bool(self._pauses) and self._pauses[-1][1] is None

    def _due_ms(self, start_ms: int, within_ms: int) -> int | None:
        """When a clock has run for so long that stands still in pauses; None if it never does."""
        at_ms, left_ms = start_ms, within_ms
        for from_ms, to_ms in self._pauses:
            ran_ms = max(0, from_ms - at_ms)
            if left_ms <= ran_ms:
                break
            if to_ms is None:
                return None
            left_ms -= ran_ms
            at_ms = max(at_ms, to_ms)
        return at_ms + left_ms

    def attempts(self, asked: Iterable[list[int]]) -> Iterator[str]:
        """Nothing is asked in a pause; nor again before its time, which a pause puts off.

        An operator may ask at any time.
        """
        if any(fault.kind not in LEAVING_TRACKERS_ALONE for fault in self._plan.faults):
            return  # who decides once more asks once more
        told_ms = sorted(_number(told["placed_ms"]) for told in self._lifecycle if told["stage"] == "paused")
        course = self._saga.course
        retried_ms = [act.at_ms for act in course.history if act.action == "retry"] if course else []
        for times_ms in asked:
            for at_ms in times_ms:
                for begun_ms, (_, to_ms) in zip(told_ms, self._pauses, strict=True):
                    if begun_ms < at_ms and (to_ms is None or at_ms < to_ms):
                        yield f"asked something of services at {at_ms}, in a pause of {self._pauses}"
            for before_ms, again_ms in pairwise(sorted(set(times_ms))):
                between = range(before_ms - self._ahead_ms, again_ms + self._ahead_ms + 1)
                if any(at_ms in between for at_ms in retried_ms):
                    continue
                due_ms = self._due_ms(before_ms, UNDO_WITHIN_MS)
                if due_ms is None or again_ms < due_ms - self._ahead_ms:
                    yield f"asked at {before_ms} and at {again_ms}, which was due at {due_ms}"

    def deadlines(self) -> Iterator[str]:
        """No false breach, and every true one."""
        rules = (
            ("ship-on-time", "order.placed", tuple(ENDS), WITHIN_MS),
            ("charge-fast", "stock.reserved", ("payment.charged",), CHARGE_WITHIN_MS),
        )
        for rule, start, ends, within_ms in rules:
            started = self._truth.of(start)
            if not started:
                if rule in self._breached:
                    yield f"breach of {rule}, and its clock never started"
                continue
            due_ms = self._due_ms(started[0].time_ms, within_ms)
            met = [event for event in self._truth.of(*ends) if self._meets(event, started[0])]
            told_ms = self._breached.get(rule)
            if due_ms is None:
                if told_ms is not None:
                    yield f"breach of {rule} at {told_ms}, and its clock stands still: {self._pauses}"
            elif told_ms is None:
                if all(event.time_ms > due_ms for event in met) and not self._stopped_by(due_ms):
                    yield f"breach of {rule} at {due_ms} was never told"
            elif told_ms != due_ms:
                yield f"breach of {rule} at {told_ms}, which was due at {due_ms}"
            elif timely := [event for event in met if event.time_ms <= due_ms and self._punctual(event)]:
                yield f"false breach of {rule} at {due_ms}: {timely}"

    def _meets(self, event: Event, start: Event) -> bool:
        return event.time_ms >= start.time_ms or start.id in self._truth.causes(event)

    def _punctual(self, event: Event) -> bool:
        """It came as soon as producers have promised (SAGA_WATERMARK_DELAY_MS), whose clocks may differ."""
        return event.placed_ms <= event.time_ms + DELAY_MS - self._ahead_ms

    def _stopped_by(self, due_ms: int) -> bool:
        """Whether something may have stopped all clocks by then."""
        stops = [event.time_ms for event in self._truth.of(*ENDS, *TRIGGERS)]
        stops += [
            at_ms
            for receipts in self._truth.receipts.values()
            for _, _, outcome, at_ms in receipts
            if outcome == "dead-lettered"
        ]
        course = self._saga.course
        if course is not None:
            stops += [act.at_ms for act in course.history if act.action in ("cancel", "compensate")]
        if self._plan.breach_compensates and "ship-on-time" in self._breached:
            stops.append(self._breached["ship-on-time"])
        return any(at_ms <= due_ms for at_ms in stops)

    def lifecycle(self) -> Iterator[str]:
        """Every stage is told once, and says what the table says."""
        course = self._saga.course
        stages = self._stages
        if course is None or not course.flow:
            if self._truth.of("order.placed"):
                yield "has begun, and is of no flow"
            return
        if stages["started"] != 1:
            yield f"{stages['started']} starts were told"
        ends = {outcome: stages[outcome] for outcome in ("completed", "failed", "cancelled")}
        if sum(ends.values()) > 1:
            yield f"its end was told more than once: {ends}"
        told = next((outcome for outcome, count in ends.items() if count), "")
        if told and told != course.outcome:
            yield f"it is told to be {told}, and is {course.outcome!r}"
        if course.outcome and course.compensation is None and not told:
            yield f"it is {course.outcome}, which was never told"
        by_event = {ENDS[event.type] for event in self._truth.of(*ENDS)}
        if (course.outcome or "none") not in (by_event or {"none"}) and course.outcome != "cancelled":
            yield f"its outcome is {course.outcome!r}, and the log has {by_event}"
        if by_event and not course.outcome:
            yield f"the log has its end, {by_event}, and the table has not"
        undoing = course.compensation
        if stages["compensating"] != (0 if undoing is None else undoing.round):
            yield f"{stages['compensating']} compensations were told: {undoing}"
        if undoing is not None and undoing.done_ms >= 0 and stages["compensated"] != undoing.round:
            yield f"it is compensated, which was told {stages['compensated']} times in {undoing.round} rounds"
        table = {told.rule for told in course.told if told.breached}
        if table != set(self._breached):
            yield f"breaches in the table are {table}, and those told {set(self._breached)}"

    def compensation(self, history: list[list[Fact]], obeyed: Counter[str]) -> Iterator[str]:
        """What had to be undone is undone once, and nothing else."""
        course = self._saga.course
        undoing = None if course is None else course.compensation
        must = _must_compensate(history)
        may = must or self._operated or (self._plan.breach_compensates and "ship-on-time" in self._breached)
        if must and undoing is None:
            yield "was never compensated"
        if undoing is not None and not may:
            yield f"was compensated without a reason: {undoing}"
        for undone, count in obeyed.items():
            if count > 1:
                yield f"{undone} was undone {count} times"
        if undoing is None:
            if obeyed:
                yield f"{set(obeyed)} were undone, and it is not being compensated"
            return
        if self._paused:
            return  # what is left to undo is undone when it goes on
        pivots = [event.time_ms for event in self._truth.of(PIVOT)]
        undos = {undo.event: undo for undo in undoing.undos}
        for event in self._truth.of(*UNDONE):
            behind = bool(pivots) and event.time_ms >= pivots[0] and not undoing.by_operator
            undo = undos.get(event.id)
            if behind:
                continue
            if undo is None:
                yield f"nobody planned to undo {event.id}"
            elif undo.status == "confirmed" and obeyed[event.id] != 1:
                yield f"the undo of {event.id} is confirmed, and nobody did it"
            elif undo.status == "stuck" and not self._may_be_stuck(event.type):
                yield f"the undo of {event.id} is stuck: {undo}"
            elif not (undo.settled or undo.status == "stuck") and not self._waits_its_turn(undos):
                yield f"the undo of {event.id} is not done: {undo}"

    def _waits_its_turn(self, undos: Mapping[str, object]) -> bool:
        """In reverse order nothing goes on behind an undo that is stuck."""
        return not self._plan.parallel and any(
            getattr(undo, "status", "") == "stuck" for undo in undos.values()
        )

    def _may_be_stuck(self, kind: str) -> bool:
        refused = any(fault.kind == "refuse-effects" for fault in self._plan.faults)
        return refused or (
            self._script is not None and self._script.answers[UNDONE[kind]] in ("fail-always", "never")
        )


def _places(step: Step) -> frozenset[tuple[str, int, int]]:
    """Where an event stands by what the tracker knows."""
    if step.copies or step.seen is None:
        return frozenset((copy.topic, copy.partition, copy.offset) for copy in step.copies)
    return frozenset({(step.seen.topic, step.seen.partition, step.seen.offset)})


def _receipts(step: Step) -> set[tuple[str, int, str, int]]:
    return {
        (handling.service, attempt.number, attempt.outcome, attempt.at_ms)
        for handling in step.handlings
        for attempt in handling.attempts
    }


def _keeps(saga: Saga, fact: Fact) -> bool:
    """Whether the saga has what it was told."""
    if isinstance(fact, CommandSeen):
        return saga.course is not None and any(act.command == fact.id for act in saga.course.history)
    if isinstance(fact, EventSeen):
        return fact.id in saga.steps and saga.steps[fact.id].seen is not None
    if isinstance(fact, HandedOn):
        return True
    if isinstance(fact, Joined):
        return saga.joins is not None and any(link.saga == fact.saga for link in saga.joins.links)
    if isinstance(fact, ChildBegun):
        return any(child.saga == fact.child for child in saga.children)
    assert isinstance(fact, ReceiptSeen)
    return fact.event in saga.steps


def _names(record: Record) -> list[str]:
    """What a record of the bank is about, by the earliest key first."""
    told = json.decode(record.value or b"")
    return [f"{key}:{told[key]}" for key in BANK_KEYS if key in told]


def _children(saga: Saga) -> set[tuple[str, str, str, int]]:
    return {(child.saga, child.type, child.event, child.at_ms) for child in saga.children}


def _told_to(saga: Saga, history: list[list[Fact]]) -> list[list[Fact]]:
    """As much of the history as this saga knew."""
    return [[fact for fact in facts if _keeps(saga, fact)] for facts in history]


def _stays(saga: Saga) -> bool:
    """Whether the saga is kept for as long as it takes: it is paused, or there is something to undo."""
    course = saga.course
    if course is None or course.paused is not None:
        return course is not None
    return course.compensation is not None and course.compensation.done_ms < 0


def _heard_ms(saga: Saga) -> int:
    """When the last happened to a saga."""
    times = [step.seen.time_ms for step in saga.steps.values() if step.seen is not None]
    times += [child.at_ms for child in saga.children]
    times += [at_ms for step in saga.steps.values() for _, _, _, at_ms in _receipts(step)]
    course = saga.course
    if course is not None:
        times += [course.ended_ms, *(act.at_ms for act in course.history)]
        times += [told.due_ms for told in course.told]
    return max(times, default=saga.heard_ms)


def _must_compensate(history: list[list[Fact]]) -> bool:
    """Whether a trigger was told at a time when the saga was not past its pivot."""
    return bool(_types_at_trigger(history))


def _types_at_trigger(history: list[list[Fact]]) -> set[str]:
    """The types of all events known when the compensation had to begin; empty if it had not."""
    known: set[str] = set()
    given_up: set[str] = set()
    for facts in history:
        began = "order.placed" in known
        types = {fact.type for fact in facts if isinstance(fact, EventSeen)}
        letters = {
            fact.event
            for fact in facts
            if isinstance(fact, ReceiptSeen) and fact.outcome == "dead-lettered" and "/" in fact.event
        }
        known |= types
        given_up |= letters
        if "order.placed" not in known or PIVOT in known:
            continue
        # What came before the first event counts as having come with it.
        if (types if began else known) & set(TRIGGERS):
            return known
        if (letters if began else given_up) and not known & set(ENDS):
            return known
    return set()


def _late_charge(saga: Saga) -> bool:
    course = saga.course
    return course is None or course.compensation is None or course.compensation.round > 1


def _asked(history: list[list[Fact]], accepted: set[str]) -> list[CommandSeen]:
    """The commands to pause and to go on, once each; not those for a saga that nobody knew as yet.

    One that was refused for that may be read again after a crash, when the saga is known.
    """
    asked: dict[str, CommandSeen] = {}
    known = False
    for facts in history:
        known = known or any(not isinstance(fact, CommandSeen) for fact in facts)
        commands = [
            fact for fact in facts if isinstance(fact, CommandSeen) and (known or fact.id in accepted)
        ]
        for command in sorted(commands, key=lambda command: (command.at_ms, command.id)):
            if command.action in ("pause", "resume"):
                asked.setdefault(command.id, command)
    return list(asked.values())


def _failed(name: str, history: list[list[Fact]]) -> set[tuple[str, str, int]]:
    """Which services gave an event up, and when; undo commands, whose ids the tracker makes, do not count."""
    return {
        (fact.event, fact.service, fact.at_ms)
        for facts in history
        for fact in facts
        if isinstance(fact, ReceiptSeen)
        if fact.outcome == "dead-lettered" and fact.event.startswith(f"{name}/")
    }


def _number(told: object) -> int:
    assert isinstance(told, int)
    return told


def _time_ms(record: Record) -> int:
    """The event's own time."""
    told = datetime.fromisoformat(_text(dict(record.headers)["ce_time"]))
    return round(told.timestamp() * 1000)


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
