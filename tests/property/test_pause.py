"""Clocks that stand still now and then, held against counting milliseconds."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests import play
from tests.facts import NOON_MS
from tests.play import ORDER, Play
from tracker.core.course import Course, Pause
from tracker.core.flow import Between
from tracker.core.frame import CommandSeen
from tracker.core.sla import clocks, judge
from tracker.core.timeline import Timeline

WITHIN_MS = 20
FLOW = structs.replace(ORDER, rules=(Between("soon", WITHIN_MS, "order.placed", ("parcel.dispatched",)),))


@st.composite
def pauses(draw: st.DrawFn) -> tuple[Pause, ...]:
    """Pauses one behind the other; the last may go on."""
    edges = sorted(draw(st.lists(st.integers(0, 60), max_size=8)))
    return tuple(
        Pause(NOON_MS + edges[at], "ada", "why", NOON_MS + edges[at + 1] if at + 1 < len(edges) else -1)
        for at in range(0, len(edges), 2)
    )


def due_by_counting(start_ms: int, paused: tuple[Pause, ...]) -> int | None:
    """When a clock has run for so long; None if it stands still before."""
    now_ms, ran_ms = start_ms, 0
    while ran_ms < WITHIN_MS:
        if now_ms > NOON_MS + 1_000:
            return None
        still = any(pause.from_ms <= now_ms and (pause.to_ms < 0 or now_ms < pause.to_ms) for pause in paused)
        ran_ms += not still
        now_ms += 1
    return now_ms


@given(pauses(), st.integers(0, 60))
def test_a_deadline_comes_when_the_clock_has_run_for_so_long(paused: tuple[Pause, ...], start: int) -> None:
    saga = Play(FLOW)
    saga.tell(play.placed(start))
    assert saga.saga is not None
    timeline = Timeline(saga.saga)
    (clock,) = clocks(FLOW, timeline, paused)
    due_ms = due_by_counting(NOON_MS + start, paused)

    assert (clock.paused_ms >= 0) == (due_ms is None)
    course = Course(flow=FLOW.name, flow_version=1, pauses=paused)
    if due_ms is None:
        assert judge(FLOW, timeline, course, NOON_MS + 10_000).news == []
    else:
        assert clock.due_ms == due_ms
        assert judge(FLOW, timeline, course, due_ms - 1).next_ms == due_ms
        assert [told.breached for told in judge(FLOW, timeline, course, due_ms).news] == [True]


@given(
    st.lists(st.tuples(st.sampled_from(["pause", "resume"]), st.integers(0, 50)), max_size=12),
    st.integers(0, 3),
)
def test_the_same_frames_give_the_same_saga_and_effects_again(
    asked: list[tuple[str, int]], crash_after: int
) -> None:
    """Commands whose times jump to and fro, and the tracker reads the last of them a second time."""

    def command(number: int) -> CommandSeen:
        action, at = asked[number]
        return CommandSeen(f"c{number}", action, "ada", "why", NOON_MS + at, "", True)  # type: ignore[arg-type]

    def told(saga: Play, numbers: range) -> list[object]:
        return [saga.tell(command(number), now=4 * number, wall=6 * number) for number in numbers]

    through, crashed = Play(FLOW), Play(FLOW)
    for saga in (through, crashed):
        saga.tell(play.placed())
    durable = max(0, len(asked) - crash_after)
    once = told(through, range(len(asked)))
    told(crashed, range(durable))
    kept = crashed.saga
    first = told(crashed, range(durable, len(asked)))
    crashed.saga = kept
    assert told(crashed, range(durable, len(asked))) == first == once[durable:]
    assert crashed.saga == through.saga
    for before, after in zip(through.course.pauses, through.course.pauses[1:], strict=False):
        assert before.from_ms <= before.to_ms <= after.from_ms
