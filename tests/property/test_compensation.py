"""A world that acts, fails, repeats and reorders as it likes: what a compensation comes to all the same.

The machine keeps its own books of what really happened. The tracker sees it late, twice and in any
order, and dies now and then between its effects and its state.
"""

from collections import Counter
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs

from saga.core.receipt import Failure
from tests import play
from tests.facts import NOON_MS
from tests.play import ORDER, SAGA, published, services
from tracker.core.advance import World, advance
from tracker.core.command import Action
from tracker.core.effect import Effect, Lifecycle, Publish
from tracker.core.flow import Compensation, Flow, Flows
from tracker.core.frame import CommandSeen, EventSeen, ReceiptSeen
from tracker.core.saga import Saga, decode_saga, encode_saga

ATTEMPTS = 2
ACTIONS = {"stock.reserved": "stock.released", "payment.charged": "payment.refunded"}
TRIGGER = "parcel.lost"


Seen = EventSeen | ReceiptSeen | CommandSeen


class Fed(NamedTuple):
    """A turn of the tracker that a crash makes it take once more."""

    facts: list[Seen]
    now_ms: int


class SagaWorld(RuleBasedStateMachine):
    """`order` is chosen once; everything else by the rules."""

    @initialize(order=st.sampled_from(["reverse", "parallel"]))
    def begin(self, order: str) -> None:
        self.flow = Flow(
            ORDER.name,
            1,
            ORDER.begins,
            ORDER.completed,
            ORDER.failed,
            ORDER.events,
            (play.CHARGE_FAST,),
            Compensation(ORDER.compensation.triggers, order, ORDER.compensation.then),  # type: ignore[arg-type]
        )
        self.flows = Flows((self.flow,))
        self.subscriptions = services()
        self.clock_ms = NOON_MS
        self.events: dict[str, EventSeen] = {}
        self.pending: list[Seen] = []
        self.delivered: list[Seen] = []
        self.commands: dict[str, Publish] = {}
        self.attempts: dict[str, int] = {}  # the latest of each command, and when it was made
        self.asked_ms: dict[str, int] = {}
        self.inbox: list[str] = []  # commands as they stand on their topics
        self.given_up: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self.watermark_ms = NOON_MS - 1
        self.asked = 0
        self.stages: Counter[str] = Counter()
        self.saga: Saga | None = None
        self.durable: Saga | None = None
        self.turns: list[Fed] = []
        self.happen(play.placed(0))

    # What the world does.

    def happen(self, event: EventSeen) -> None:
        self.clock_ms += 1
        stamped = _at(event, self.clock_ms)
        self.events[stamped.id] = stamped
        self.pending.append(stamped)

    @rule(kind=st.sampled_from(sorted(ACTIONS)), data=st.data())
    def act(self, kind: str, data: st.DataObject) -> None:
        if len(self.events) < 12:
            cause = data.draw(st.sampled_from(sorted(self.events)))
            self.happen(play.seen(f"a{len(self.events)}", kind, 0, cause=cause))

    @rule()
    def fail(self) -> None:
        if len(self.events) < 12:
            self.happen(play.seen(f"t{len(self.events)}", TRIGGER, 0, cause="e1"))

    @precondition(lambda self: self.inbox)
    @rule(confirms=st.booleans())
    def answer(self, confirms: bool) -> None:
        """A service takes the next command. What it has obeyed once it does not obey again."""
        command = self.commands[self.inbox.pop(0)]
        self.clock_ms += 1
        if command.id in self.confirmed or command.type == "order.cancelled":
            return
        if confirms:
            self.confirmed.add(command.id)
            answer = play.undone(command, ACTIONS[self.events[command.cause].type], 0)
            self.pending.append(_at(answer, self.clock_ms))
        else:
            self.given_up[command.id] += 1
            self.pending.append(
                ReceiptSeen(
                    *(command.id, "inventory", "i", "undo", "dead-lettered", self.clock_ms, 1.0, 1),
                    Failure("Boom", "no"),
                    None,
                )
            )

    @rule(action=st.sampled_from(["pause", "resume"]))
    def ask(self, action: Action) -> None:
        self.clock_ms += 1
        self.asked += 1
        name = f"c{self.asked}"
        self.pending.append(CommandSeen(name, action, "ada", "to look at it", self.clock_ms, "", True))

    @rule(by_ms=st.integers(1, 3_000))
    def wait(self, by_ms: int) -> None:
        self.clock_ms += by_ms

    # What the tracker sees of it.

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        picked = data.draw(st.lists(st.sampled_from(range(len(self.pending))), min_size=1, unique=True))
        facts = [self.pending[index] for index in picked]
        self.pending = [fact for index, fact in enumerate(self.pending) if index not in picked]
        self.delivered += facts
        self.turn(facts)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.turn(data.draw(st.lists(st.sampled_from(self.delivered), max_size=4)))

    @rule()
    def tick(self) -> None:
        self.turn([])

    @rule()
    def commit(self) -> None:
        self.durable = None if self.saga is None else decode_saga(encode_saga(self.saga))
        self.turns.clear()

    @rule()
    def crash(self) -> None:
        self.saga = self.durable
        turns, self.turns = self.turns, []
        for fed in turns:
            self.feed(fed)

    def turn(self, facts: list[Seen]) -> None:
        """The watermark stands before everything that has not been delivered yet."""
        waiting = [_time_ms(fact) for fact in self.pending]
        self.watermark_ms = max(self.watermark_ms, min([self.clock_ms, *waiting]) - 1)
        self.feed(Fed(facts, self.watermark_ms))

    def feed(self, fed: Fed) -> None:
        world = World(self.flows, self.subscriptions, self.clock_ms)
        before = self.saga
        self.saga, effects = advance(self.saga, SAGA, fed.facts, fed.now_ms, world)
        self.turns.append(fed)
        for effect in effects:
            if isinstance(effect, Lifecycle):
                self.stages[effect.stage] += 1
        commands = published(list[Effect](effects))
        if self.saga is not None and self.saga.course is not None and self.saga.course.paused is not None:
            assert not commands, "something is undone while the saga is paused"
        for command in commands:
            self.sent(command, before, fed)

    def sent(self, command: Publish, before: Saga | None, fed: Fed) -> None:
        known = self.commands.get(command.id)
        if command.type == "order.cancelled":
            others = [other for other in self.commands.values() if other.type == command.type]
            assert known is not None or not others
        else:
            self.judge_undo(command, fed)
        assert known is None or known == structs.replace(command, at_ms=known.at_ms)
        self.commands[command.id] = command
        self.inbox.append(command.id)
        # It is a record on a business topic, and comes back like any other.
        self.pending.append(_at(play.command_seen(command), self.clock_ms))

    def judge_undo(self, command: Publish, fed: Fed) -> None:
        assert self.events[command.cause].type in ACTIONS, "an undo without its action"
        assert any(event.type == TRIGGER for event in self.events.values()), "nobody asked for it"
        others = [other for other in self.commands.values() if other.cause == command.cause]
        assert all(other.id == command.id for other in others), "two undos of one step"
        attempt = self.attempt(command.cause)
        assert attempt <= ATTEMPTS
        known = self.attempts.get(command.id, 0)
        if attempt > known >= 1:
            failed = self.given_up[command.id] >= known or fed.now_ms >= self.asked_ms[command.id] + 1_000
            assert failed, "asked for again before it has failed"
        self.attempts[command.id] = max(known, attempt)
        self.asked_ms[command.id] = command.at_ms

    def attempt(self, event: str) -> int:
        assert self.saga is not None
        assert self.saga.course is not None
        assert self.saga.course.compensation is not None
        return next(undo.attempt for undo in self.saga.course.compensation.undos if undo.event == event)

    # What always holds.

    @invariant()
    def one_at_a_time_in_reverse(self) -> None:
        course = getattr(self.saga, "course", None)
        state = None if course is None else course.compensation
        if state is not None and self.flow.compensation.order == "reverse":
            assert sum(undo.status == "running" for undo in state.undos) <= 1

    def teardown(self) -> None:
        """Everything is delivered, every service answers in the end: then every compensation is over."""
        if not hasattr(self, "flow"):
            return
        self.ask("resume")
        for _ in range(60):
            while self.inbox:
                self.answer(confirms=True)
            facts, self.pending = self.pending, []
            self.delivered += facts
            self.clock_ms += 1_100
            self.turn(facts)
        self.judge_end()

    def judge_end(self) -> None:
        assert self.saga is not None
        course = self.saga.course
        assert course is not None
        triggered = any(event.type == TRIGGER for event in self.events.values())
        acted = {name for name, event in self.events.items() if event.type in ACTIONS}
        if not triggered:
            assert course.compensation is None
            assert not self.commands
            return
        assert course.compensation is not None
        assert {undo.event for undo in course.compensation.undos} == acted
        undone = {self.commands[name].cause for name in self.confirmed}
        for undo in course.compensation.undos:
            assert undo.status in ("confirmed", "stuck", "planned")
            assert (undo.status == "confirmed") == (undo.event in undone)
        if course.compensation.stuck:
            assert self.stages["stuck"] >= 1
        else:
            assert course.compensation.done_ms >= 0
            assert undone == acted
            assert [known.type for known in self.commands.values()].count("order.cancelled") == 1
        assert self.saga.due_ms == -1, "nothing is left to wait for"
        assert self.stages["started"] >= 1


def _at(event: EventSeen, time_ms: int) -> EventSeen:
    return structs.replace(event, time_ms=time_ms)


def _time_ms(fact: Seen) -> int:
    return fact.time_ms if isinstance(fact, EventSeen) else fact.at_ms


SagaWorld.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestSagaWorld = SagaWorld.TestCase
