"""What holds for every flow: who keeps to what was declared has no findings, counts can be taken back."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from saga.core.receipt import Publication, ServiceAnnouncement, Subscription
from tests.facts import NOON_MS, event, receipt
from tests.property.sagas import SAGA_ID, facts
from tracker.core.bounded import Counts
from tracker.core.contract.ahead import steps_ahead
from tracker.core.contract.comparison import compare
from tracker.core.contract.expected import Edge, edge_of, expected_map
from tracker.core.contract.findings import GRACE_MS, Kind, faultless, findings, searched
from tracker.core.contract.funnel import funnel
from tracker.core.contract.stuck import FACTOR, FLOOR_MS, Stuck, stuck
from tracker.core.contract.traffic import At, Passage, Traffic, edges_of, passage
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.quantiles import Sketches
from tracker.core.saga import Saga
from tracker.core.status import Status, Waiting, status
from tracker.core.subscriptions import Subscriptions
from tracker.core.way import walk

TYPES = ("t0", "t1", "t2", "t3", "t4")
LONG_AFTER_MS = NOON_MS + 10 * GRACE_MS


@st.composite
def declarations(draw: st.DrawFn) -> Subscriptions:
    """Services whose handlers publish later types only, so that every saga comes to an end."""
    announced = []
    for place, name in enumerate(TYPES):
        for service in draw(st.sets(st.sampled_from(["a", "b"]), max_size=2)):
            published = (
                draw(st.sets(st.sampled_from(TYPES[place + 1 :]))) if place + 1 < len(TYPES) else set()
            )
            always = bool(published) and draw(st.booleans())
            announced.append(
                ServiceAnnouncement(
                    f"{service}-{name}",
                    [Subscription(name, "any", "handle", always)],
                    [Publication(effect, "any", "handle", True) for effect in sorted(published)],
                )
            )
    announced.append(ServiceAnnouncement("shop", [], [Publication("t0", "any", "")]))
    return Subscriptions(announced)


@st.composite
def walks(draw: st.DrawFn, subscriptions: Subscriptions) -> list[Observation]:
    """The facts of a saga in which every service does what it declares."""
    told: list[Observation] = [event("e0", "t0", source="shop")]
    todo = [("e0", "t0", 0)]
    while todo and len(told) < 40:
        cause, name, after_ms = todo.pop()
        for handler in subscriptions.declared(name):
            told.append(receipt(cause, handler.service, after_ms=after_ms))
            some = (
                st.sets(st.sampled_from(handler.publishes), min_size=1)
                if handler.publishes
                else st.just(set())
            )
            effects = draw(some if handler.always else some | st.just(set()))
            for effect in sorted(effects):
                event_id = f"{cause}.{handler.service}.{effect}"
                later_ms = after_ms + draw(st.integers(0, 50))
                told.append(event(event_id, effect, after_ms=later_ms, cause=cause, source=handler.service))
                todo.append((event_id, effect, later_ms))
    return told


flows = declarations().flatmap(lambda declared: st.tuples(st.just(declared), walks(declared)))


@given(flows)
def test_a_saga_that_keeps_to_the_declarations_has_no_findings(
    told: tuple[Subscriptions, list[Observation]],
) -> None:
    subscriptions, walk = told
    if len(walk) < 40:  # it has come to its end
        assert findings(fold(None, SAGA_ID, walk), expected_map("t0", subscriptions)) == ()


@given(flows, st.data())
def test_what_is_lost_of_such_a_saga_or_comes_besides_is_found(
    told: tuple[Subscriptions, list[Observation]], data: st.DataObject
) -> None:
    subscriptions, walk = told
    expected = expected_map("t0", subscriptions)
    strange = event("strange", "never.declared", cause="e0", source="shop")
    lost = event("lost", "t0", cause="nowhere", source="shop")
    found = findings(fold(None, SAGA_ID, [*walk, strange, lost]), expected)

    assert {(finding.kind, finding.event) for finding in found if finding.event in ("strange", "lost")} == {
        (Kind.UNEXPECTED, "strange"),
        (Kind.ORPHAN, "lost"),
    }
    for handler in subscriptions.declared("t0"):
        if handler.always:
            silent: list[Observation] = [event("e0", "t0", source="shop"), receipt("e0", handler.service)]
            assert [each.kind for each in findings(fold(None, SAGA_ID, silent), expected)] == [Kind.MISSING]


@given(flows, st.data())
def test_a_saga_that_looks_faultless_is(
    told: tuple[Subscriptions, list[Observation]], data: st.DataObject
) -> None:
    subscriptions, facts_told = told
    expected = expected_map("t0", subscriptions)
    lost = data.draw(st.sets(st.sampled_from(range(len(facts_told))), max_size=2))
    more = data.draw(
        st.lists(
            st.builds(
                event,
                st.sampled_from(["e0", "n1", "n2"]),
                st.sampled_from(TYPES),
                after_ms=st.sampled_from([-600, 0, 5]),
                cause=st.sampled_from([None, "e0", "n1", "n2"]),
                source=st.sampled_from(["a-t0", "shop"]),
            ),
            max_size=2,
        )
    )
    kept = [fact for place, fact in enumerate(facts_told) if place not in lost]
    saga = fold(None, SAGA_ID, [*kept, *more])

    assert not faultless(saga, walk(saga), expected) or searched(saga, expected) == ()


@given(flows)
def test_what_such_sagas_show_is_declared_and_what_all_of_them_lack_was_never_seen(
    told: tuple[Subscriptions, list[Observation]],
) -> None:
    subscriptions, walk = told
    expected = expected_map("t0", subscriptions)
    traffic = Traffic()
    traffic.add(passage_of(fold(None, SAGA_ID, walk), subscriptions))
    found = compare(expected, traffic)

    assert [*found.undeclared_types, *found.undeclared_edges, *found.undeclared_handlers] == []
    seen = set(traffic.edges)
    assert set(found.unseen_edges) == set(expected.edges) - seen
    assert set(found.unseen_types) == expected.known - set(traffic.events)


@given(facts)
def test_findings_are_the_same_however_the_facts_came(told: list[Observation]) -> None:
    expected = expected_map(
        "x", Subscriptions([ServiceAnnouncement("x", [Subscription("x", "x", "x", True)], [])])
    )
    saga = fold(None, SAGA_ID, told)

    assert findings(saga, expected) == findings(fold(None, SAGA_ID, [*told[::-1], *told]), expected)
    assert {finding.event for finding in findings(saga, expected)} <= saga.steps.keys()


def passage_of(saga: Saga, subscriptions: Subscriptions) -> Passage:
    return passage(saga, status(saga, subscriptions))


passages = st.lists(
    st.builds(lambda told: passage_of(fold(None, SAGA_ID, told), Subscriptions()), facts), max_size=4
)


def counted(*parts: Sequence[Passage]) -> Traffic:
    traffic = Traffic()
    for part in parts:
        for went in part:
            traffic.add(went)
    return traffic


@given(passages, passages, passages)
def test_counting_step_by_step_in_parts_and_from_scratch_is_the_same(
    kept: list[Passage], gone: list[Passage], elsewhere: list[Passage]
) -> None:
    traffic = counted(gone, kept)
    for went in gone:
        traffic.add(went, -1)
    assert traffic == counted(kept)

    traffic.merge(counted(elsewhere))
    assert traffic == counted(elsewhere, kept)


@given(flows)
def test_following_a_saga_from_change_to_change_is_the_same_as_counting_it_at_the_end(
    told: tuple[Subscriptions, list[Observation]],
) -> None:
    subscriptions, walk = told
    traffic, saga, before = Traffic(), None, None
    for fact in walk:
        saga = fold(saga, SAGA_ID, [fact])
        if before is not None:
            traffic.add(before, -1)
        before = passage_of(saga, subscriptions)
        traffic.add(before)

    assert traffic == counted([passage_of(fold(None, SAGA_ID, walk), subscriptions)])


@given(flows, st.integers(1, 3))
def test_every_saga_of_a_funnel_stands_or_ended_somewhere(
    told: tuple[Subscriptions, list[Observation]], sagas: int
) -> None:
    subscriptions, walk = told
    went = passage_of(fold(None, SAGA_ID, walk), subscriptions)
    stages = funnel(counted([went] * sagas), expected_map("t0", subscriptions))

    assert sum(stage.standing + stage.compensating + stage.ended for stage in stages) == sagas
    assert stages[0].type == "t0"
    assert stages[0].share == 1.0


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans())), st.integers(0, 4))
def test_counts_tell_a_bounded_number_of_keys_apart_and_lose_nothing(
    told: list[tuple[int, bool]], keys_max: int
) -> None:
    counts: Counts[int] = Counts(keys_max)
    sketches: Sketches[int] = Sketches(keys_max)
    left: list[int] = []
    for key, back in told:
        if back and key in left:
            left.remove(key)
            counts.add(key, -1)
            sketches.add(key, 7, -1)
        else:
            left.append(key)
            counts.add(key)
            sketches.add(key, 7)

        assert counts.total() == sketches.total() == len(left)
        assert len(counts.items()) == len(sketches) <= keys_max
        assert all(left.count(kept) == times for kept, times in counts.items())


owed_once = Waiting("e1", "t0", "a", "handle", NOON_MS)


@given(
    st.lists(st.tuples(st.integers(0, 120_000), st.lists(st.integers(0, 600_000), max_size=30)), min_size=1)
)
def test_what_is_stuck_stays_so_until_it_moves_however_the_past_changes(
    asked: list[tuple[int, list[int]]],
) -> None:
    past: Sketches[At] = Sketches()
    now_ms, was = NOON_MS, tuple[Stuck, ...]()
    for later_ms, answers in asked:
        now_ms += later_ms
        for took_ms in answers:
            past.add(At("t0", "a"), took_ms)
        before, was = was, stuck(was, [owed_once], None, past, now_ms)
        assert not before or was == before
        assert not was or now_ms - NOON_MS >= FACTOR * FLOOR_MS
    assert stuck(was, [], None, past, now_ms) == ()


@given(flows)
def test_the_steps_ahead_are_declared_and_not_behind(told: tuple[Subscriptions, list[Observation]]) -> None:
    subscriptions, _ = told
    expected = expected_map("t0", subscriptions)
    ahead = steps_ahead(["t0"], ["t0"], expected)

    assert {step.type for step in ahead} == expected.known - {"t0"}
    assert all(step.services for step in ahead)


def test_nothing_is_found_in_an_empty_funnel() -> None:
    assert [stage.passed for stage in funnel(Traffic(), expected_map("t0", Subscriptions()))] == [0]


@given(facts)
def test_the_edges_of_a_saga_are_those_that_the_map_counts(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)

    assert edges_of(saga) == {edge for edge, _ in passage(saga, Status.COMPLETED).edges}


@given(st.builds(Edge, st.text(), st.text(), st.text()))
def test_an_edge_is_known_by_its_id(edge: Edge) -> None:
    assert edge_of(edge.id) == edge
    assert "\n" not in edge.id
