"""A saga of more events than are kept goes on along its flow, says so, and raises no false alarm."""

from msgspec import structs

from tests import play
from tests.facts import receipt
from tests.play import CHARGE_FAST, IN_ALL, ORDER, Play, alerts, seen, stages, types
from tracker.core.chain import acted_ms, began_ms, begin_type, business_key, last_event
from tracker.core.course import TOLD_MAX
from tracker.core.flow import Answer, Rule, Silence
from tracker.core.frame import EventSeen
from tracker.core.saga import STEPS_MAX


def with_rules(*rules: Rule) -> Play:
    return Play(structs.replace(ORDER, rules=rules))


def many(count: int = 3 * STEPS_MAX, kind: str = "parcel.weighed", first: int = 100) -> list[EventSeen]:
    return [seen(f"m-{kind}-{i}", kind, first + i, cause="e2") for i in range(count)]


def test_a_saga_that_grows_beyond_its_limit_raises_one_alert() -> None:
    saga = with_rules()
    saga.tell(play.placed(), play.reserved(), *many(), now=50)
    saga.tell(*many(first=10_000), now=60)

    assert [alert.cause for alert in alerts(saga.effects)] == ["too-many-events"]


def test_its_end_is_found_and_its_deadlines_are_met() -> None:
    saga = with_rules(CHARGE_FAST, IN_ALL)
    saga.tell(play.placed(), play.reserved(), *many(), now=50)
    saga.tell(play.charged(1_000), now=2_000)
    saga.tell(play.dispatched(3_000), now=10_000_000)

    assert stages(saga.effects) == ["started", "completed"]
    assert saga.due == -1


def test_what_is_known_first_of_each_type_is_undone() -> None:
    saga = with_rules()
    saga.tell(play.placed(), *many(), play.reserved(), now=50)
    commands = saga.tell(play.declined(5_000), now=6_000)

    assert types(commands) == ["stock.release"]


def test_an_event_beyond_the_limit_may_trigger_and_be_read_again() -> None:
    saga = with_rules()
    saga.tell(play.placed(), play.reserved(), *many(), now=50)
    for _ in range(2):
        saga.tell(*many(kind="parcel.lost", first=9_000), now=10_000)

    assert stages(saga.effects).count("compensating") == 1


def test_whose_answer_is_not_kept_is_not_late() -> None:
    saga = with_rules(Answer("weighed-fast", 1_000, "parcel.weighed", "scales"))
    events = many()
    saga.tell(play.placed(), *events, *(receipt(e.id, "scales", after_ms=200) for e in events), now=50)
    saga.tell(now=10_000_000)

    assert stages(saga.effects) == ["started"]


def test_events_that_are_not_kept_are_no_silence_and_silence_is_told_in_the_end() -> None:
    saga = with_rules(Silence("silence", 60_000))
    saga.tell(play.placed(), *many(1_000), now=50)
    for minute in range(1, 60):
        saga.tell(*many(20, f"t-{minute}", 30_000 * minute), now=30_000 * minute + 20)
    assert stages(saga.effects) == ["started"]
    saga.tell(now=30_000 * 59 + 60_000 + 10_020)

    assert stages(saga.effects) == ["started", "breached"]


def test_no_more_than_so_many_breaches_are_told() -> None:
    saga = with_rules(*(Answer(f"fast-{i}", 1_000, "parcel.weighed", f"scales-{i}") for i in range(5)))
    saga.tell(play.placed(), *many(STEPS_MAX - 10), now=50)
    for now in (10_000, 20_000):
        saga.tell(now=now)

    assert stages(saga.effects).count("breached") == len(saga.course.told) == TOLD_MAX
    assert alerts(saga.effects)[-1].cause == "too-many-events"
    assert saga.due == -1


def test_what_is_shown_of_it_is_right_beyond_the_limit() -> None:
    playing = with_rules()
    playing.tell(play.placed(), *many(), now=50)
    saga = playing.saga
    assert saga is not None
    assert (begin_type(saga), business_key(saga)) == ("order.placed", "o-1042")
    assert began_ms(saga) == saga.heard_ms
    assert acted_ms(saga) >= began_ms(saga)
    assert last_event(saga) is not None
