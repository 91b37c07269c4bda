"""Whatever comes first, twice or late, wherever the tracker dies: what belongs together is one saga."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from tests.property.sagas import SAGA_ID, facts
from tests.unit.test_collect import Written
from tracker.core.advance import World, advance
from tracker.core.collect import SagaFacts, collect_events
from tracker.core.correlation import Path, Rule
from tracker.core.effect import HandOn
from tracker.core.flow import Flows
from tracker.core.fold import fold
from tracker.core.frame import Fact, Joined, Observation, decode_frame, encode_frame
from tracker.core.saga import decode_saga, encode_saga
from tracker.core.subscriptions import Subscriptions
from tracker.core.unfold import unfold

KEYS = ("order", "payment", "refund")
RULE = Rule(
    "shop",
    1,
    ("shop",),
    (),
    (Path(("type",)),),
    (Path(("id",)),),
    keys=tuple((name, (Path((name,)),)) for name in KEYS),
)
WORLD = World(Flows(), Subscriptions(), 0)
ROUNDS_MAX = 2_000

# One order has several payments and each of them several refunds: nothing contradicts anything.
refunds = st.integers(0, 7)
named = st.sets(st.sampled_from(KEYS), min_size=1)


def consistent(refund: int, keys: set[str]) -> dict[str, str]:
    whole = {"order": f"o-{refund // 4}", "payment": f"p-{refund // 2}", "refund": f"r-{refund}"}
    return {key: whole[key] for key in keys}


BY_REFUND = [
    {"order": "o-0", "refund": "r-0"},
    {"payment": "p-0", "refund": "r-0"},
    {"payment": "p-0"},
]
"""The payment belongs to the order by a refund of both."""

consistent_records = st.lists(st.builds(consistent, refunds, named), max_size=12)
any_records = st.lists(st.dictionaries(st.sampled_from(KEYS), st.sampled_from("ab"), min_size=1), max_size=8)


class Tracker:
    """Sagas by id, each with a partition of its own: a log of facts, and how far it is read."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.logs: dict[str, list[list[Fact]]] = defaultdict(list)
        self.read: dict[str, int] = defaultdict(int)

    def send(self, facts: SagaFacts) -> None:
        for saga, of_saga in decode_frame(encode_frame(facts, [])).sagas.items():
            self.logs[saga].append(of_saga)

    @property
    def behind(self) -> list[str]:
        return sorted(saga for saga, log in self.logs.items() if self.read[saga] < len(log))

    def commit(self, saga_id: str, frames: int, *, dies: bool = False) -> None:
        """Fold so many frames of a saga and send what that wants; who dies there has written nothing."""
        log, begin = self.logs[saga_id], self.read[saga_id]
        row = self.rows.get(saga_id)
        saga = None if row is None else decode_saga(row)
        effects = []
        for frame in log[begin : begin + frames]:
            saga, wanted = advance(saga, saga_id, frame, None, WORLD)
            effects += wanted
        for effect in effects:
            if isinstance(effect, HandOn):
                self.send({effect.saga: list(effect.facts)})
        if dies:
            return
        self.read[saga_id] = min(len(log), begin + frames)
        if saga is not None:
            self.rows[saga_id] = encode_saga(saga)

    def rest(self) -> None:
        """Until nothing is left to be told."""
        rounds = 0
        while behind := self.behind:
            rounds += 1
            assert rounds < ROUNDS_MAX, "facts are handed on without end"
            self.commit(behind[0], 1)

    @property
    def visible(self) -> dict[str, set[str]]:
        """The events of each saga that belongs to no other."""
        found = {}
        for saga_id, row in self.rows.items():
            saga = decode_saga(row)
            if saga.joined:
                assert not saga.steps
            elif saga.steps:
                found[saga_id] = set(saga.steps)
        return found


def told(number: int, record: dict[str, str]) -> SagaFacts:
    """What the collector makes of a record."""
    facts: SagaFacts = {}
    value = json.encode({"type": "x", "id": f"e-{number}", **record})
    collect_events("shop", 0, [Written(value=value, offset=number)], facts, Counter(), rules=(RULE,))
    return facts


def played(records: list[dict[str, str]], data: st.DataObject, *, keys: bool = True) -> Tracker:
    """The records in any order, some of them twice, with crashes; until nothing is left to do."""
    tracker = Tracker()
    numbers = list(range(len(records)))
    again = data.draw(st.lists(st.sampled_from(numbers), max_size=4)) if numbers else []
    for number in data.draw(st.permutations(numbers + again)):
        tracker.send(told(number, records[number]))
        for _ in range(data.draw(st.integers(0, 3))):
            if behind := tracker.behind:
                saga_id = data.draw(st.sampled_from(behind))
                tracker.commit(saga_id, data.draw(st.integers(1, 3)), dies=data.draw(st.booleans()))
    tracker.rest()
    return tracker


def united(records: list[dict[str, str]]) -> set[frozenset[str]]:
    """The events that belong together: those of records with a key in common, and so on."""
    groups: list[tuple[set[str], set[str]]] = []
    for number, record in enumerate(records):
        keys, events = {f"{key}:{value}" for key, value in record.items()}, {f"e-{number}"}
        for group in [group for group in groups if group[0] & keys]:
            groups.remove(group)
            keys, events = keys | group[0], events | group[1]
        groups.append((keys, events))
    return {frozenset(events) for _, events in groups}


@given(consistent_records | st.permutations(BY_REFUND), st.data())
def test_events_that_belong_together_are_one_saga_and_no_other(
    records: list[dict[str, str]], data: st.DataObject
) -> None:
    tracker = played(records, data)

    found = list(tracker.visible.values())
    assert {frozenset(events) for events in found} == united(records)
    assert len(found) == len(united(records))


@given(any_records, st.data())
def test_no_event_is_lost_where_records_contradict_each_other(
    records: list[dict[str, str]], data: st.DataObject
) -> None:
    tracker = played(records, data)

    assert set().union(*tracker.visible.values()) == {f"e-{number}" for number in range(len(records))}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.integers(0, 2)), max_size=8),
    st.permutations("abcd"),
    st.data(),
)
def test_joins_that_lead_in_a_circle_come_to_an_end_and_lose_nothing(
    joins: list[tuple[str, str, int]], sagas: list[str], data: st.DataObject
) -> None:
    tracker = Tracker()
    for saga, other, rank in joins:
        tracker.send({saga: [Joined(other, rank, 0)]})
    for number, saga in enumerate(sagas):
        [[seen]] = told(number, {"order": saga}).values()
        tracker.send({saga: [seen]})
        tracker.commit(saga, data.draw(st.integers(1, 3)), dies=data.draw(st.booleans()))
    tracker.rest()

    assert set().union(*tracker.visible.values()) == {f"e-{number}" for number in range(len(sagas))}


@given(facts)
def test_what_is_handed_on_makes_the_same_steps(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)

    again = fold(None, SAGA_ID, list(unfold(saga)))

    assert encode_saga(again) == encode_saga(saga)
