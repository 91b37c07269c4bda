"""One step of a saga: what it is after these facts at this time, and what is wanted of the world.

Pure, and the same for a repeat: a tracker that died between the effects of a commit and its state
reads the same frames again, decides the same, and every effect has the id it had before.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from msgspec import structs

from saga.core.ids import derived_id
from tracker.core import compensation
from tracker.core.compensation import Compensating, command_data
from tracker.core.course import HISTORY_MAX, Act, CompensationState, Course, Outcome, Told, UndoState
from tracker.core.effect import Alert, Effect, Lifecycle, Publish, Reply, Stage
from tracker.core.effect import Cause as AlertCause
from tracker.core.flow import (
    Emit,
    ExpressionFailed,
    Flow,
    Flows,
    Rule,
    WhenBreach,
    WhenDeadLetter,
    WhenEvent,
)
from tracker.core.fold import fold
from tracker.core.frame import CommandSeen, EventSeen, Fact, Observation, ReceiptSeen
from tracker.core.saga import Saga
from tracker.core.sla import clocks, judge
from tracker.core.status import standings
from tracker.core.subscriptions import Subscriptions
from tracker.core.timeline import Timeline
from tracker.core.variables import variables


class World(NamedTuple):
    """What the tracker knows besides the saga. `wall_ms` is its clock, for what it asks of others."""

    flows: Flows
    subscriptions: Subscriptions
    wall_ms: int


class Advanced(NamedTuple):
    """The saga after a step, the same object if nothing changed, and the effects in their order."""

    saga: Saga | None
    effects: list[Effect]


def advance(
    saga: Saga | None, saga_id: str, facts: Sequence[Fact], now_ms: int | None, world: World
) -> Advanced:
    """Fold the facts, then judge what is due at `now_ms`, the time of the watermark.

    Parameters
    ----------
    saga : None when nothing is known of it yet. Commands alone do not make a saga.
    now_ms : None as long as the time is not known; then nothing is judged.
    """
    told = [fact for fact in facts if not isinstance(fact, CommandSeen)]
    commands = [fact for fact in facts if isinstance(fact, CommandSeen)]
    folded = fold(saga, saga_id, told) if told else saga
    if folded is None:
        unknown = "no saga with this id has been seen"
        return Advanced(None, [_reply(saga_id, command, False, unknown) for command in commands])
    flow, adopted = _flow(saga, folded, told, world.flows)
    if flow is None and not commands:
        return Advanced(folded, [])
    if not commands and not adopted and flow is not None and _irrelevant(folded, flow, told, now_ms):
        return Advanced(folded, [])
    turn = _Turn(folded, flow, now_ms, world)
    turn.take(told, adopted, commands)
    return Advanced(turn.saga(), turn.effects)


def _flow(
    before: Saga | None, saga: Saga, facts: Iterable[Observation], flows: Flows
) -> tuple[Flow | None, bool]:
    """The flow of the saga, and whether it is only now known to be of it.

    A saga belongs to the version that was the newest when its first event was read. So one that was
    on its way before there was a flow file keeps its freedom.
    """
    course = saga.course
    if course is not None and course.flow:
        return flows.get(course.flow, course.flow_version), False
    for fact in facts:
        if isinstance(fact, EventSeen) and not fact.cause:
            known = None if before is None else before.steps.get(fact.id)
            if known is None or known.seen is None:
                root = Timeline(saga).root
                seen = None if root is None else saga.steps[root].seen
                found = None if seen is None else flows.beginning(seen.type)
                return found, found is not None
    return None, False


def _irrelevant(saga: Saga, flow: Flow, facts: Iterable[Observation], now_ms: int | None) -> bool:
    """Whether none of this can change the course: most receipts, at most times."""
    course = saga.course
    if course is None or course.compensation is not None:
        return False
    if saga.due_ms >= 0 and now_ms is not None and now_ms >= saga.due_ms:
        return False
    return not any(
        isinstance(fact, EventSeen) or fact.outcome == "dead-lettered" or flow.times_answers for fact in facts
    )


class _Turn:
    """The decisions of one step, one after the other."""

    def __init__(self, saga: Saga, flow: Flow | None, now_ms: int | None, world: World) -> None:
        self._saga = saga
        self._flow = flow
        self._now_ms = now_ms
        self._world = world
        self._timeline = Timeline(saga)
        self._course = saga.course or Course()
        self._next_ms = -1
        self.effects: list[Effect] = []

    def saga(self) -> Saga:
        """The saga with what was decided."""
        before = self._saga
        if self._course == (before.course or Course()) and self._next_ms == before.due_ms:
            return before
        return Saga(before.version, before.id, self._next_ms, before.steps, self._course)

    def take(
        self,
        facts: Sequence[Observation],
        adopted: bool,
        commands: Sequence[CommandSeen],
    ) -> None:
        """Decide everything that these facts, these commands and the time ask for."""
        if adopted and self._flow is not None:
            self._course = structs.replace(
                self._course, flow=self._flow.name, flow_version=self._flow.version
            )
            self._stage("started", self._began_ms())
        for command in sorted(commands, key=lambda command: (command.at_ms, command.id)):
            self._obey(command)
        if self._flow is None:
            self._next_ms = self._saga.due_ms
            return
        self._find_end(self._flow)
        self._trigger_by_facts(self._flow, facts, adopted)
        self._judge(self._flow)
        self._compensate(self._flow)

    # The end of the saga.

    def _find_end(self, flow: Flow) -> None:
        if self._course.outcome:
            return
        ended = self._timeline.of(*flow.ends)
        if not ended:
            return
        at_ms, event = ended[0]
        seen = self._timeline.step(event).seen
        outcome: Outcome = "completed" if seen is not None and seen.type in flow.completed else "failed"
        self._course = structs.replace(self._course, outcome=outcome, ended_ms=at_ms)
        if self._course.compensation is None:
            self._stage("completed" if outcome == "completed" else "failed", at_ms)

    # Deadlines.

    def _judge(self, flow: Flow) -> None:
        judged = judge(list(clocks(flow, self._timeline)), self._course, self._now_ms)
        self._next_ms = judged.next_ms
        if judged.told is not self._course.told:
            self._course = structs.replace(self._course, told=judged.told)
        rules = {rule.name: rule for rule in flow.rules}
        for told in judged.news:
            self._tell(flow, rules[told.rule], told)
        if judged.news and self._course.compensation is not None:
            # A breach has begun a compensation, and that has stopped the other clocks.
            self._next_ms = judge(list(clocks(flow, self._timeline)), self._course, None).next_ms

    def _tell(self, flow: Flow, rule: Rule, told: Told) -> None:
        level: Stage = "breached" if told.breached else "warned"
        place = f"{told.rule}:{told.event}"
        at_ms = told.due_ms if told.breached else told.due_ms - rule.within_ms + rule.warn_ms
        self._stage(level, at_ms, place=place, rule=told.rule, due_ms=told.due_ms)
        if rule.on_breach.alert:
            cause: AlertCause = "breach" if told.breached else "warning"
            late = "" if told.late_ms < 0 else f", by {told.late_ms / 1000:g} s"
            words = f"breached{late}" if told.breached else f"due in {(told.due_ms - at_ms) / 1000:g} s"
            self._alert(cause, place, at_ms, f"{told.rule}: {words}", told.rule, told.event)
        if not told.breached:
            return
        if rule.on_breach.emit is not None:
            self._emit(rule.on_breach.emit, f"breach:{place}", told.event or self._root(), told.rule)
        wanted = rule.on_breach.compensate or any(
            isinstance(trigger, WhenBreach) and trigger.rule == told.rule
            for trigger in flow.compensation.triggers
        )
        if wanted:
            self._trigger(flow, f"breach of {told.rule}", "", told.due_ms)

    # Compensation.

    def _trigger_by_facts(self, flow: Flow, facts: Sequence[Observation], adopted: bool) -> None:
        if self._compensating() or not flow.compensation.triggers:
            return
        if adopted:  # what came before the first event counts as having come now
            events = sorted(self._timeline.steps)
            answered = events
        else:
            events = [fact.id for fact in facts if isinstance(fact, EventSeen)]
            answered = [fact.event for fact in facts if isinstance(fact, ReceiptSeen)]
        for trigger in flow.compensation.triggers:
            match trigger:
                case WhenEvent():
                    self._trigger_by_events(flow, trigger, events)
                case WhenDeadLetter():
                    self._trigger_by_dead_letters(flow, trigger, answered)
                case WhenBreach():
                    pass  # `_tell` looks at these
            if self._compensating():
                return

    def _compensating(self) -> bool:
        return self._course.compensation is not None

    def _trigger_by_events(self, flow: Flow, trigger: WhenEvent, events: Iterable[str]) -> None:
        for event in events:
            seen = self._timeline.step(event).seen
            if seen is not None and seen.type == trigger.type and self._holds(trigger, event, seen.time_ms):
                self._trigger(flow, trigger.type, event, seen.time_ms)

    def _holds(self, trigger: WhenEvent, event: str, at_ms: int) -> bool:
        if trigger.condition is None:
            return True
        try:
            value = trigger.condition.evaluate(variables(self._timeline, self._saga.id, event, ""))
            if isinstance(value, bool):
                return value
            reason = f"its value is {value!r}, but a condition is true or false"
        except ExpressionFailed as error:
            reason = str(error)
        message = f"the condition {trigger.condition.text!r} on {trigger.type} has no answer: {reason}"
        self._alert("expression", event, at_ms, message, event=event)
        return False

    def _trigger_by_dead_letters(self, flow: Flow, trigger: WhenDeadLetter, events: Iterable[str]) -> None:
        if self._course.outcome:
            return  # whoever fails with the news of the end does not take it back
        ours = {
            name
            for milestone in flow.events.values()
            if milestone.undo is not None
            for name in (milestone.undo.command.type, milestone.undo.confirmed)
        }
        for event in events:
            step = self._timeline.steps.get(event)
            if step is None or (step.seen is not None and step.seen.type in ours):
                continue
            for service, handling in standings(step).items():
                named = not trigger.services or service in trigger.services
                if named and handling.standing.outcome == "dead-lettered":
                    event_type = "an event" if step.seen is None else step.seen.type
                    at_ms = handling.standing.at_ms
                    self._trigger(flow, f"{service} gave up {event_type}", event, at_ms)

    def _trigger(self, flow: Flow, reason: str, event: str, at_ms: int) -> None:
        """Begin a compensation that nobody decided by hand."""
        if self._course.compensation is not None:
            return
        passed = compensation.pivot(flow, self._timeline)
        if passed:
            message = f"{reason}: not compensated, since the saga is past its pivot; an operator may"
            self._alert("past-pivot", f"{reason}:{event}", at_ms, message, event=event)
            return
        self._begin(reason, event, at_ms, by_operator=False)

    def _begin(self, reason: str, event: str, at_ms: int, by_operator: bool) -> None:
        begun = CompensationState(reason, event, at_ms, by_operator)
        self._course = structs.replace(self._course, compensation=begun)
        self._stage("compensating", at_ms, place="1", reason=reason)

    def _compensate(self, flow: Flow) -> None:
        before = self._course.compensation
        if before is None:
            return
        progress = Compensating(
            flow,
            self._timeline,
            before,
            self._world.subscriptions,
            self._saga.id,
            self._now_ms,
            self._world.wall_ms,
        ).progress()
        self.effects.extend(progress.commands)
        state = progress.state
        if state.round > before.round:
            self._stage("compensating", state.at_ms, place=str(state.round), reason="another event came")
        for undo in progress.alerts:
            self._tell_trouble(undo)
        if state.done_ms >= 0 and before.done_ms < 0:
            state = self._compensated(flow, state)
        self._course = structs.replace(self._course, compensation=state)
        if progress.next_ms >= 0:
            self._due(progress.next_ms)

    def _tell_trouble(self, undo: UndoState) -> None:
        seen = self._timeline.step(undo.event).seen
        name = undo.event if seen is None else seen.type
        place = f"{undo.event}:{undo.attempt}"
        if undo.status == "stuck":
            self._stage("stuck", self._world.wall_ms, place=place, reason=f"undo of {name}: {undo.error}")
            cause: AlertCause = "stuck"
        else:
            cause = "undeliverable"
        self._alert(cause, place, self._world.wall_ms, f"undo of {name}: {undo.error}", event=undo.event)

    def _compensated(self, flow: Flow, state: CompensationState) -> CompensationState:
        """Everything is undone: say so, first to the services. While nobody knows the event, it waits."""
        then = flow.compensation.then
        if then is not None and not state.then and not self._timeline.of(then.type):
            if not self._world.subscriptions.topic_of(then.type):
                if state.then_due_ms < 0:
                    message = f"no service announces {then.type}, with which the compensation ends"
                    self._alert("undeliverable", "then", self._world.wall_ms, message)
                due_ms = self._world.wall_ms + compensation.UNDELIVERABLE_RETRY_MS
                self._due(due_ms)
                return structs.replace(state, done_ms=-1, then_due_ms=due_ms)
            published = self._emit(then, "then", self._root(), state.reason, cause=state.trigger)
            state = structs.replace(state, then=published, then_due_ms=-1)
        self._stage("compensated", state.done_ms, place=str(state.round), reason=state.reason)
        return state

    def _due(self, due_ms: int) -> None:
        self._next_ms = due_ms if self._next_ms < 0 else min(self._next_ms, due_ms)

    # Operators.

    def _obey(self, command: CommandSeen) -> None:
        for act in self._course.history:
            if act.command == command.id:
                self.effects.append(_reply(self._saga.id, command, act.accepted, act.message))
                return
        refusal = self._carried_out(command)
        message = refusal or "done"
        act = Act(command.id, command.action, command.by, command.reason, command.at_ms, not refusal, message)
        history = (*self._course.history, act)[-HISTORY_MAX:]
        self._course = structs.replace(self._course, history=history)
        self.effects.append(_reply(self._saga.id, command, not refusal, message))

    def _carried_out(self, command: CommandSeen) -> str:
        """Do what the command asks for; why not, or "" when it is done."""
        if not command.by or not command.reason:
            return "a command needs `by` and `reason`: they are kept in the history of the saga"
        match command.action:
            case "note":
                return ""
            case "compensate":
                return self._order_compensation(command)
            case "cancel":
                return self._order_cancellation(command)
            case "retry":
                return self._order_undos(
                    command,
                    lambda undo: structs.replace(undo, status="planned", left=self._attempts(undo.event)),
                )
            case "skip":
                return self._order_undos(
                    command,
                    lambda undo: structs.replace(undo, status="skipped", settled_ms=command.at_ms),
                )
            case "done":
                return self._order_undos(
                    command,
                    lambda undo: structs.replace(undo, status="done", settled_ms=command.at_ms),
                )

    def _order_compensation(self, command: CommandSeen) -> str:
        if self._flow is None:
            return "the saga is of no known flow, so nothing says how to undo it"
        if self._course.compensation is not None:
            done = self._course.compensation.done_ms >= 0
            return "the saga is compensated" if done else "the saga is being compensated already"
        self._begin(command.reason, "", command.at_ms, by_operator=True)
        return ""

    def _order_cancellation(self, command: CommandSeen) -> str:
        if self._course.outcome:
            return f"the saga is {self._course.outcome} already; `compensate` undoes it all the same"
        if command.undo and (refusal := self._order_compensation(command)):
            return refusal
        self._course = structs.replace(self._course, outcome="cancelled", ended_ms=command.at_ms)
        self._stage("cancelled", command.at_ms, reason=command.reason)
        return ""

    def _order_undos(self, command: CommandSeen, settle: Callable[[UndoState], UndoState]) -> str:
        state = self._course.compensation
        if state is None or self._flow is None:
            return "the saga is not being compensated"
        stuck = {
            undo.event for undo in state.undos if undo.status == "stuck" and command.event in ("", undo.event)
        }
        if not stuck:
            return f"no undo of {command.event} is stuck" if command.event else "no undo is stuck"
        undos = tuple(settle(undo) if undo.event in stuck else undo for undo in state.undos)
        self._course = structs.replace(self._course, compensation=structs.replace(state, undos=undos))
        return ""

    def _attempts(self, event: str) -> int:
        seen = self._timeline.step(event).seen
        milestone = None if self._flow is None or seen is None else self._flow.events.get(seen.type)
        return 1 if milestone is None or milestone.undo is None else milestone.undo.attempts

    # Effects.

    def _emit(self, emit: Emit, place: str, event: str, reason: str, cause: str = "") -> str:
        """Publish an event that a flow file asks for; its id, "" if it could not be made."""
        event_id = derived_id(self._saga.id, f"tracker.{place}.{emit.type}", 0)
        topic = self._world.subscriptions.topic_of(emit.type)
        seen = self._timeline.step(event).seen if event in self._timeline.steps else None
        try:
            if not topic:
                raise ExpressionFailed(f"no service announces {emit.type}, so its topic is not known")
            data = command_data(emit, self._timeline, self._saga.id, event, reason)
        except ExpressionFailed as error:
            self._alert("undeliverable", place, self._world.wall_ms, f"{emit.type}: {error}", event=event)
            return ""
        self.effects.append(
            Publish(
                event_id,
                self._saga.id,
                topic,
                emit.type,
                cause or event,
                "" if seen is None else seen.key,
                data,
                self._world.wall_ms,
            )
        )
        return event_id

    def _stage(
        self, stage: Stage, at_ms: int, place: str = "", rule: str = "", due_ms: int = -1, reason: str = ""
    ) -> None:
        event_id = derived_id(self._saga.id, f"tracker.{stage}.{place}", 0)
        course = self._course
        self.effects.append(
            Lifecycle(
                event_id,
                self._saga.id,
                self._key(),
                course.flow,
                course.flow_version,
                stage,
                at_ms,
                rule,
                due_ms,
                reason,
            )
        )

    def _alert(
        self, cause: AlertCause, place: str, at_ms: int, message: str, rule: str = "", event: str = ""
    ) -> None:
        event_id = derived_id(self._saga.id, f"tracker.alert.{cause}.{place}", 0)
        course = self._course
        self.effects.append(
            Alert(
                event_id,
                self._saga.id,
                self._key(),
                course.flow,
                course.flow_version,
                cause,
                at_ms,
                message,
                rule,
                event,
            )
        )

    def _root(self) -> str:
        return self._timeline.root or ""

    def _began_ms(self) -> int:
        root = self._timeline.root
        seen = None if root is None else self._timeline.step(root).seen
        return 0 if seen is None else seen.time_ms

    def _key(self) -> str:
        root = self._timeline.root
        seen = None if root is None else self._timeline.step(root).seen
        return "" if seen is None else seen.key


def _reply(saga_id: str, command: CommandSeen, accepted: bool, message: str) -> Reply:
    return Reply(
        derived_id(command.id, "tracker.reply", 0), command.id, saga_id, accepted, message, command.at_ms
    )
