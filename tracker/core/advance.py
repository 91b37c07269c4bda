"""One step of a saga: what it is after these facts at this time, and what is wanted of the world.

Pure, and the same for a repeat: a tracker that died between the effects of a commit and its state
reads the same frames again, decides the same, and every effect has the id it had before.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import structs

from saga.core.ids import derived_id
from tracker.core.cloudevent import SOURCE
from tracker.core.compensation import UNDELIVERABLE_RETRY_MS, Compensating, pivot
from tracker.core.course import (
    HISTORY_MAX,
    TOLD_MAX,
    Act,
    CompensationState,
    Course,
    Outcome,
    Pause,
    Told,
    UndoState,
)
from tracker.core.effect import Cause, Effect, Stage
from tracker.core.flow import Emit, Flow, Flows, WhenBreach
from tracker.core.fold import fold
from tracker.core.frame import ChildBegun, CommandSeen, EventSeen, Fact, Observation, ReceiptSeen
from tracker.core.join import settle
from tracker.core.operators import obey, pause
from tracker.core.retention import Retention
from tracker.core.saga import STEPS_MAX, Saga, marked
from tracker.core.sla import judge
from tracker.core.subscriptions import Subscriptions
from tracker.core.teller import Teller, reply
from tracker.core.timeline import Timeline
from tracker.core.trigger import Triggered, by_dead_letters, by_events, failing

THEN_SEEN_WITHIN_MS = 60_000
"""The event that ends a compensation is published again if it has not been read back for so long."""


class World(NamedTuple):
    """What the tracker knows besides the saga.

    Attributes
    ----------
    wall_ms : its clock, for what it asks of others.
    told_ms : when the frame was made that tells of the facts, None if there is none: whoever reads it again,
        after a crash, finds the same.
    """

    flows: Flows
    subscriptions: Subscriptions
    wall_ms: int
    retention: Retention = Retention()
    told_ms: int | None = None


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
    news = [fact for fact in facts if isinstance(fact, _OBSERVATIONS)]
    commands = [fact for fact in facts if isinstance(fact, CommandSeen)] if len(news) < len(facts) else []
    told: list[Effect] = []
    if (saga is not None and saga.joins is not None) or len(news) + len(commands) < len(facts):
        saga, told = settle(saga, saga_id, facts, now_ms, world.wall_ms)
        if saga is not None and saga.joined:
            return Advanced(saga, told)
    advanced = _decided(saga, saga_id, news, commands, now_ms, world)
    return Advanced(advanced.saga, [*told, *advanced.effects]) if told else advanced


_OBSERVATIONS = (EventSeen, ReceiptSeen, ChildBegun)  # the most frequent first


def _decided(
    saga: Saga | None,
    saga_id: str,
    news: Sequence[Observation],
    commands: Sequence[CommandSeen],
    now_ms: int | None,
    world: World,
) -> Advanced:
    """The step of a saga that belongs to no other."""
    folded = fold(saga, saga_id, news, max(world.wall_ms, now_ms or 0)) if news else saga
    if folded is None:
        unknown = "no saga with this id has been seen"
        return Advanced(None, [reply(saga_id, command, False, unknown) for command in commands])
    if folded is saga and not commands and not _due(folded, now_ms):
        return Advanced(folded, [])  # a repeat, or beyond the limit: what it decides was decided
    course = folded.course
    timeline: Timeline | None = None
    adopted = False
    if course is not None and course.flow:
        flow = world.flows.get(course.flow, course.flow_version)
    elif _begins(saga, news):
        timeline = Timeline(folded)
        flow = _flow(timeline, world.flows)
        adopted = flow is not None
    else:
        flow = None
    grown = folded.sample is not None and (saga is None or saga.sample is None)
    if not commands and (flow is None or not (adopted or grown or _matters(folded, flow, news, now_ms))):
        return Advanced(folded, [])
    turn = _Turn(folded, flow, timeline or Timeline(folded), now_ms, world)
    turn.take(news, commands, adopted=adopted, late=adopted and saga is not None, grown=grown)
    return Advanced(turn.saga(), turn.effects)


def _due(saga: Saga, now_ms: int | None) -> bool:
    return saga.due_ms >= 0 and now_ms is not None and now_ms >= saga.due_ms


def _begins(before: Saga | None, news: Iterable[Observation]) -> bool:
    """Whether a first event is among the news.

    A saga belongs to the version of its flow that was the newest when its first event was read. So
    one that was on its way before there was a flow file keeps its freedom.
    """
    for fact in news:
        if isinstance(fact, EventSeen) and (fact.parent or not fact.cause):
            known = None if before is None else before.steps.get(fact.id) or marked(before).get(fact.id)
            if known is None or known.seen is None:
                return True
    return False


def _flow(timeline: Timeline, flows: Flows) -> Flow | None:
    root = timeline.root
    seen = None if root is None else timeline.step(root).seen
    return None if seen is None else flows.beginning(seen.type)


def _matters(saga: Saga, flow: Flow, news: Iterable[Observation], now_ms: int | None) -> bool:
    """Whether any of this can change the course: most receipts and many events can't."""
    course = saga.course
    if course is None or course.compensation is not None:
        return True
    if _due(saga, now_ms):
        return True
    if flow.times_answers or (decisive := flow.decisive) is None:
        return True
    return any(
        fact.type in decisive
        if isinstance(fact, EventSeen)
        else isinstance(fact, ReceiptSeen) and _failed(fact, flow)
        for fact in news
    )


def _failed(receipt: ReceiptSeen, flow: Flow) -> bool:
    """Whether a trigger may ask for what this handler tells."""
    if receipt.outcome == "dead-lettered":
        return True
    return receipt.outcome == "retrying" and 0 < flow.retries_watched <= receipt.attempt


_NO_COURSE = Course()


class _Turn:
    """The decisions of one step, one after the other."""

    def __init__(
        self, saga: Saga, flow: Flow | None, timeline: Timeline, now_ms: int | None, world: World
    ) -> None:
        self._saga = saga
        self._flow = flow
        self._now_ms = now_ms
        self._world = world
        self._timeline = timeline
        self._teller = Teller(saga.id, timeline, world.subscriptions, world.wall_ms)
        self._course = saga.course or _NO_COURSE
        self._next_ms = -1

    @property
    def effects(self) -> list[Effect]:
        return self._teller.effects

    def saga(self) -> Saga:
        """The saga with what was decided."""
        before = self._saga
        known = before.course or _NO_COURSE
        if self._next_ms == before.due_ms and (self._course is known or self._course == known):
            return before
        return structs.replace(before, due_ms=self._next_ms, course=self._course)

    def take(
        self,
        news: Sequence[Observation],
        commands: Sequence[CommandSeen],
        *,
        adopted: bool,
        late: bool,
        grown: bool,
    ) -> None:
        """Decide everything that these facts, these commands and the time ask for.

        Parameters
        ----------
        adopted : the saga is only now known to be of its flow.
        late : and there are steps that were known before.
        grown : it has only now more events than are kept.
        """
        if adopted and self._flow is not None:
            name, version = self._flow.name, self._flow.version
            self._course = structs.replace(self._course, flow=name, flow_version=version)
            self._stage("started", self._began_ms())
        for command in sorted(commands, key=lambda command: (command.at_ms, command.id)):
            self._obey(command)
        if self._flow is None:
            self._next_ms = self._saga.due_ms
            return
        if grown:
            self._tell_grown()
        self._find_end(self._flow)
        if self._flow.pauses:
            self._pause_by_news(self._flow, news, late)
        self._trigger_by_news(self._flow, news, late)
        self._judge(self._flow)
        self._compensate(self._flow)

    def _find_end(self, flow: Flow) -> None:
        if self._course.outcome or not self._timeline.has(flow.ends):
            return
        at_ms, event = self._timeline.of(*flow.ends)[0]
        seen = self._timeline.step(event).seen
        outcome: Outcome = "completed" if seen is not None and seen.type in flow.completed else "failed"
        self._course = structs.replace(self._course, outcome=outcome, ended_ms=at_ms)
        if self._course.compensation is None:
            self._stage("completed" if outcome == "completed" else "failed", at_ms)

    def _tell_grown(self) -> None:
        message = (
            f"it has more than {STEPS_MAX:,} events. Its flow goes on, by the first of each type; but of "
            "others that lie beyond it is not known who has answered them, and they are not undone"
        )
        self._alert("too-many-events", message, place="")

    # Deadlines.

    def _judge(self, flow: Flow) -> None:
        judged = judge(flow, self._timeline, self._course, self._now_ms)
        self._next_ms = judged.next_ms
        if judged.told is not self._course.told:
            self._course = structs.replace(self._course, told=judged.told)
        for told in judged.news:
            self._tell(flow, told)
        if judged.news and len(judged.told) >= TOLD_MAX:
            message = f"it has {TOLD_MAX:,} warnings and breaches: no more of its deadlines are told"
            self._alert("too-many-events", message, place="told")
        if judged.news and self._course.compensation is not None:
            # A breach has begun a compensation, and that has stopped the other clocks.
            self._next_ms = judge(flow, self._timeline, self._course, None).next_ms

    def _tell(self, flow: Flow, told: Told) -> None:
        rule = next(rule for rule in flow.rules if rule.name == told.rule)
        place = f"{told.rule}:{told.event}"
        at_ms = told.due_ms if told.breached else told.due_ms - rule.within_ms + rule.warn_ms
        stage: Stage = "breached" if told.breached else "warned"
        self._stage(stage, at_ms, place=place, rule=told.rule, due_ms=told.due_ms)
        if rule.on_breach.alert:
            cause: Cause = "breach" if told.breached else "warning"
            late = "" if told.late_ms < 0 else f", by {told.late_ms / 1000:g} s"
            left = f"due in {(told.due_ms - at_ms) / 1000:g} s"
            message = f"{told.rule}: {f'breached{late}' if told.breached else left}"
            self._alert(cause, message, place=place, at_ms=at_ms, rule=told.rule, event=told.event)
        if not told.breached:
            return
        emit = rule.on_breach.emit
        if emit is not None:
            root = self._timeline.root or ""
            self._teller.emit(
                self._course, emit, root, place=f"breach:{place}", reason=told.rule, cause=told.event
            )
        triggers = flow.compensation.triggers
        if rule.on_breach.compensate or WhenBreach(told.rule) in triggers:
            self._trigger(flow, Triggered(f"breach of {told.rule}", "", told.due_ms))

    # Compensation.

    def _trigger_by_news(self, flow: Flow, news: Sequence[Observation], late: bool) -> None:
        if self._course.compensation is not None:
            self._look_for_pivots(flow, news)
            return
        if late:
            # What came before the first event counts as having come now.
            events = answered = sorted(self._timeline.steps)
        else:
            watched = flow.watched
            told = [fact.id for fact in news if isinstance(fact, EventSeen) and fact.type in watched]
            events = [event for event in told if self._timeline.known(event) is not None]
            answered = [fact.event for fact in news if isinstance(fact, ReceiptSeen)]
            if not (events or answered):
                return
        for triggered in by_events(flow, self._timeline, self._saga.id, events):
            self._trigger(flow, triggered)
        if not self._course.outcome:  # who fails with the news of the end does not take it back
            for triggered in by_dead_letters(flow, self._timeline, answered):
                self._trigger(flow, triggered)

    def _look_for_pivots(self, flow: Flow, news: Iterable[Observation]) -> None:
        """What was done before a pivot is being undone, and yet it has come: that is for people."""
        for fact in news:
            if isinstance(fact, EventSeen) and fact.type in flow.pivots:
                message = f"{fact.type} came although the saga is being compensated; it can't be undone"
                self._alert("past-pivot", message, place=fact.id, at_ms=fact.time_ms, event=fact.id)

    def _trigger(self, flow: Flow, triggered: Triggered) -> None:
        """Begin a compensation that nobody decided by hand."""
        reason, event, at_ms, unanswered = triggered
        if unanswered:
            self._alert("expression", reason, place=event, at_ms=at_ms, event=event)
        elif self._course.compensation is None and pivot(flow, self._timeline):
            message = f"{reason}: not compensated, since the saga is past its pivot; an operator may"
            self._alert("past-pivot", message, place=f"{reason}:{event}", at_ms=at_ms, event=event)
        elif self._course.compensation is None:
            begun = CompensationState(reason, event, at_ms, by_operator=False)
            self._course = structs.replace(self._course, compensation=begun)
            self._stage("compensating", at_ms, place="1", reason=reason)

    def _compensate(self, flow: Flow) -> None:
        before = self._course.compensation
        if before is None or self._course.paused is not None:
            return  # what has come meanwhile is taken in when the saga goes on
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
        self._due(progress.next_ms)
        state = progress.state
        if state.round > before.round:
            self._stage("compensating", state.at_ms, place=str(state.round), reason="another event came")
        for undo in progress.alerts:
            self._tell_trouble(undo)
        if state.done_ms >= 0 and before.done_ms < 0:
            state = self._compensated(flow, state)
        elif state.then and state.then_due_ms >= 0:
            state = self._followed(flow, state)
        self._course = structs.replace(self._course, compensation=state)

    def _tell_trouble(self, undo: UndoState) -> None:
        seen = self._timeline.step(undo.event).seen
        message = f"undo of {undo.event if seen is None else seen.type}: {undo.error}"
        place = f"{undo.event}:{undo.attempt}"
        if undo.status == "stuck":
            self._stage("stuck", self._world.wall_ms, place=place, reason=message)
            self._alert("stuck", message, place=place, event=undo.event)
        else:
            self._alert("undeliverable", message, place=place, event=undo.event)

    def _compensated(self, flow: Flow, state: CompensationState) -> CompensationState:
        """Everything is undone: say so, first to the services. While nobody knows the event, it waits."""
        then = flow.compensation.then
        if state.then:
            if state.then_due_ms >= 0:
                state = self._followed(flow, state)
        elif then is not None and not self._timeline.of(then.type):
            if not self._world.subscriptions.topic_of(then.type):
                if state.then_due_ms < 0:
                    message = f"no service announces {then.type}, with which the compensation ends"
                    self._alert("undeliverable", message, place="then")
                due_ms = self._world.wall_ms + UNDELIVERABLE_RETRY_MS
                self._due(due_ms)
                return structs.replace(state, done_ms=-1, then_due_ms=due_ms)
            state = self._published(then, state)
        elif state.then_due_ms >= 0:
            state = structs.replace(state, then_due_ms=-1)  # somebody else has published it
        self._stage("compensated", state.done_ms, place=str(state.round), reason=state.reason)
        return state

    def _published(self, then: Emit, state: CompensationState) -> CompensationState:
        root = self._timeline.root or ""
        event = self._teller.emit(
            self._course, then, root, place="then", reason=state.reason, cause=state.trigger
        )
        due_ms = self._world.wall_ms + THEN_SEEN_WITHIN_MS if event else -1
        self._due(due_ms)
        return structs.replace(state, then=event or state.then, then_due_ms=due_ms)

    def _followed(self, flow: Flow, state: CompensationState) -> CompensationState:
        """Publish the last event once more, under its id, unless it has come back from its topic."""
        step = self._timeline.known(state.then)
        if step is not None and step.seen is not None:
            return structs.replace(state, then_due_ms=-1)
        then = flow.compensation.then
        if then is not None and self._now_ms is not None and self._now_ms >= state.then_due_ms:
            return self._published(then, state)
        self._due(state.then_due_ms)
        return state

    # Pauses.

    def _pause_by_news(self, flow: Flow, news: Sequence[Observation], late: bool) -> None:
        """Pause the saga where its flow asks for that, once for each failure."""
        undoing = self._course.compensation is not None
        if late:
            answered = sorted(self._timeline.steps)
        else:
            answered = [fact.event for fact in news if isinstance(fact, ReceiptSeen)]
            if undoing:  # the answer may have waited for the event
                answered += [
                    fact.id
                    for fact in news
                    if isinstance(fact, EventSeen)
                    if (step := self._timeline.known(fact.id)) is not None and not step.copies
                ]
        for failure in failing(flow, self._timeline, answered, undoing=undoing):
            act_id = derived_id(failure.event, f"tracker.pause.{failure.service}", failure.at_ms)
            if self._course.paused is not None or any(act.command == act_id for act in self._course.history):
                continue
            at_ms = self._moment(failure.at_ms)
            self._course, refusal = pause(self._course, Pause(at_ms, SOURCE, failure.reason))
            if not refusal:
                self._keep(Act(act_id, "pause", SOURCE, failure.reason, failure.at_ms, True, "done"))
                self._tell_pause(self._course.history[-1])
                message = f"paused: {failure.reason}"
                self._alert("paused", message, place=act_id, at_ms=at_ms, event=failure.event)

    def _tell_pause(self, act: Act) -> None:
        """The saga stands still, or goes on again."""
        last = self._course.pauses[-1]
        released = last.to_ms >= 0
        at_ms = last.to_ms if released else last.from_ms
        self._teller.hold(act, at_ms, released=released)
        self._stage("resumed" if released else "paused", at_ms, place=act.command, reason=act.reason)

    def _moment(self, at_ms: int) -> int:
        """When something counts that is told to have been at this time: never before what is judged, nor
        after it was read.
        """
        read_ms = self._world.wall_ms if self._world.told_ms is None else self._world.told_ms
        return max(min(at_ms, read_ms), -1 if self._now_ms is None else self._now_ms)

    def _keep(self, act: Act) -> None:
        self._course = structs.replace(self._course, history=(*self._course.history, act)[-HISTORY_MAX:])

    # Operators.

    def _obey(self, command: CommandSeen) -> None:
        for act in self._course.history:
            if act.command == command.id:
                self._teller.reply(command, act.accepted, act.message)
                return
        before = self._course
        moment_ms = self._moment(command.at_ms)
        self._course, refusal = obey(command, before, self._flow, self._timeline, moment_ms)
        message = refusal or "done"
        act = Act(command.id, command.action, command.by, command.reason, command.at_ms, not refusal, message)
        self._keep(act)
        if self._course.pauses != before.pauses:
            self._tell_pause(act)
        if self._course.compensation is not None and before.compensation is None:
            self._stage("compensating", command.at_ms, place="1", reason=command.reason)
        if self._course.outcome != before.outcome:
            self._stage("cancelled", command.at_ms, reason=command.reason)
        self._teller.reply(command, not refusal, message)

    # What all of them need.

    def _stage(
        self, stage: Stage, at_ms: int, *, place: str = "", rule: str = "", due_ms: int = -1, reason: str = ""
    ) -> None:
        self._teller.stage(self._course, stage, at_ms, place=place, rule=rule, due_ms=due_ms, reason=reason)

    def _alert(
        self,
        cause: Cause,
        message: str,
        *,
        place: str,
        at_ms: int | None = None,
        rule: str = "",
        event: str = "",
    ) -> None:
        self._teller.alert(self._course, cause, message, place=place, at_ms=at_ms, rule=rule, event=event)

    def _due(self, due_ms: int) -> None:
        if due_ms >= 0:
            self._next_ms = due_ms if self._next_ms < 0 else min(self._next_ms, due_ms)

    def _began_ms(self) -> int:
        root = self._timeline.root
        seen = None if root is None else self._timeline.step(root).seen
        return 0 if seen is None else seen.time_ms
