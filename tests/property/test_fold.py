"""A saga depends on which facts were told, and on nothing else."""

from collections import defaultdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests import facts as hand
from tests.property.sagas import SAGA_ID, facts
from tracker.core.fold import fold
from tracker.core.frame import ChildBegun, EventSeen, Observation, ReceiptSeen
from tracker.core.saga import Saga, decode_saga, encode_saga


@given(facts, st.data())
def test_any_order_duplication_and_batching_gives_the_same_bytes(
    told: list[Observation], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(told), max_size=10)) if told else []
    shuffled = data.draw(st.permutations(told + again))

    assert encode_saga(_folded_in_batches(shuffled, data)) == encode_saga(fold(None, SAGA_ID, told))


@settings(max_examples=25)
@given(st.integers(501, 1_500), st.integers(1, 300), st.integers())
def test_beyond_the_limit_order_duplication_and_batching_make_no_difference_either(
    events: int, types: int, seed: int
) -> None:
    random = Random(seed)
    told: list[Observation] = []
    for number in range(events):
        event_type = f"t{random.randrange(types)}"
        told.append(hand.event(f"e{number}", event_type, after_ms=random.randrange(100_000), offset=number))
        if random.random() < 0.5:
            told.append(hand.receipt(f"e{number}", "service", after_ms=random.randrange(100_000)))
    shuffled = told + random.choices(told, k=100)
    random.shuffle(shuffled)
    saga: Saga | None = None
    while shuffled:
        size = random.choice([1, 10, 1_000])
        saga = fold(saga, SAGA_ID, shuffled[:size])
        shuffled = shuffled[size:]

    assert saga is not None
    assert saga.sample is not None
    assert encode_saga(saga) == encode_saga(fold(None, SAGA_ID, told))


@given(facts)
def test_telling_everything_again_changes_nothing(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)

    assert fold(saga, SAGA_ID, told) is saga


@given(facts, facts)
def test_folding_leaves_the_saga_before_as_it_was(
    first: list[Observation], second: list[Observation]
) -> None:
    before = fold(None, SAGA_ID, first)
    bytes_before = encode_saga(before)

    fold(before, SAGA_ID, second)

    assert encode_saga(before) == bytes_before


@given(facts)
def test_a_saga_is_read_as_it_was_written(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)

    assert decode_saga(encode_saga(saga)) == saga


@given(facts)
def test_a_saga_says_what_an_auditor_finds_in_the_facts(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)
    audit = Audit(told)

    assert set(saga.steps) == audit.events
    for event, step in saga.steps.items():
        assert {(h.service, h.handler) for h in step.handlings} == audit.handlers[event]
        assert (step.seen is None) == (not audit.copies[event])
        if step.seen is not None:
            assert step.seen.time_ms == min(time_ms for time_ms, *_ in audit.copies[event])
            positions = {tuple(position) for _, *position in audit.copies[event]}
            assert len(step.copies) == (min(len(positions), 16) if len(positions) > 1 else 0)
        for handling in step.handlings:
            attempts = audit.attempts[event, handling.service, handling.handler]
            settled = {outcome for outcome, _ in attempts} & {"handled", "ignored"}
            assert handling.standing.settled == bool(settled)
            assert len(handling.attempts) <= 16
            if not settled:
                assert handling.standing.at_ms == max(at_ms for _, at_ms in attempts)
    assert ([] if saga.parent is None else [tuple(structs.astuple(saga.parent))]) == sorted(audit.parents)[:1]
    assert [(child.at_ms, child.saga, child.event, child.type) for child in saga.children] == sorted(
        min(told) for told in audit.children.values()
    )


class Audit:
    """What the facts say, by sets alone."""

    def __init__(self, told: list[Observation]) -> None:
        self.events: set[str] = set()
        self.copies: dict[str, set[tuple[int, str, int, int]]] = defaultdict(set)
        self.handlers: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.attempts: dict[tuple[str, str, str], set[tuple[str, int]]] = defaultdict(set)
        self.parents: set[tuple[str, str]] = set()
        self.children: dict[str, set[tuple[int, str, str, str]]] = defaultdict(set)
        for fact in told:
            if isinstance(fact, ChildBegun):
                self.children[fact.child].add((fact.at_ms, fact.child, fact.event, fact.type))
            elif isinstance(fact, EventSeen):
                self.events.add(fact.id)
                if fact.parent is not None:
                    self.parents.add((fact.parent, fact.cause or ""))
                self.copies[fact.id].add((fact.time_ms, fact.topic, fact.partition, fact.offset))
            elif isinstance(fact, ReceiptSeen):
                self.events.add(fact.event)
                self.handlers[fact.event].add((fact.service, fact.handler))
                self.attempts[fact.event, fact.service, fact.handler].add((fact.outcome, fact.at_ms))


def _folded_in_batches(told: list[Observation], data: st.DataObject) -> Saga:
    """Fold in batches of any size, with a crash and a restart after each."""
    saga = fold(None, SAGA_ID, [])
    while told:
        size = data.draw(st.integers(1, len(told)))
        saga = decode_saga(encode_saga(fold(saga, SAGA_ID, told[:size])))
        told = told[size:]
    return saga
