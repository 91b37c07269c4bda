"""The questions asked of a saga have answers whatever the facts are."""

from hypothesis import given
from hypothesis import strategies as st

from saga.core.receipt import ServiceAnnouncement, Subscription
from tests.property.sagas import SAGA_ID, facts
from tracker.core.chain import acted_ms, began_ms, business_key, chain, first_event, flow_name, last_event
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.status import Status, dead_letters, status, waiting
from tracker.core.subscriptions import Subscriptions

announcements = st.lists(
    st.builds(
        ServiceAnnouncement,
        service=st.sampled_from(["x", "y", "z", "other"]),
        subscribes=st.lists(
            st.builds(
                Subscription, type=st.sampled_from(["x", "y"]), topic=st.just("t"), handler=st.just("h")
            ),
            max_size=2,
        ),
        publishes=st.just([]),
    ),
    max_size=4,
)


@given(facts)
def test_the_chain_has_every_step_once_and_causes_first(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)
    links = chain(saga)

    assert sorted(link.event for link in links) == sorted(saga.steps)
    depths: dict[str | None, int] = {None: -1}
    for link in links:
        assert link.depth == depths[link.parent] + 1  # its cause stands above it
        depths[link.event] = link.depth
        seen = link.step.seen
        if link.parent is not None:
            assert seen is not None
            assert seen.cause == link.parent
        else:
            assert link.cause_unknown == (seen is None or seen.cause != "")


@given(facts)
def test_the_last_one_below_each_cause_is_marked(told: list[Observation]) -> None:
    by_parent: dict[str, list[bool]] = {}
    for link in chain(fold(None, SAGA_ID, told)):
        if link.parent is not None:
            by_parent.setdefault(link.parent, []).append(link.last)

    assert all(marks == [False] * (len(marks) - 1) + [True] for marks in by_parent.values())


@given(facts)
def test_every_saga_has_a_beginning_and_an_end(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)

    assert began_ms(saga) <= acted_ms(saga)
    assert flow_name(saga)
    assert business_key(saga) != SAGA_ID
    first, last = first_event(saga), last_event(saga)
    assert first is None or (last is not None and first.time_ms <= last.time_ms)


@given(facts, announcements)
def test_the_status_agrees_with_who_is_waited_for(
    told: list[Observation], announced: list[ServiceAnnouncement]
) -> None:
    saga = fold(None, SAGA_ID, told)
    subscriptions = Subscriptions(announced)
    owed = waiting(saga, subscriptions)
    stands = status(saga, subscriptions)

    assert (stands is Status.RETRYING) == any(answer.retrying for answer in owed)
    if stands in (Status.COMPLETED, Status.FAILED):
        assert not owed
        assert bool(dead_letters(saga)) == (stands is Status.FAILED)
    assert len({(answer.event, answer.service) for answer in owed}) == len(owed)


@given(facts, announcements)
def test_who_has_settled_an_event_is_not_waited_for(
    told: list[Observation], announced: list[ServiceAnnouncement]
) -> None:
    saga = fold(None, SAGA_ID, told)
    settled = {
        (event, handling.service)
        for event, step in saga.steps.items()
        for handling in step.handlings
        if any(attempt.outcome in ("handled", "ignored") for attempt in handling.attempts)
    }

    assert not settled & {
        (answer.event, answer.service) for answer in waiting(saga, Subscriptions(announced))
    }
