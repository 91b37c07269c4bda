"""The alarm about the tracker itself: raised once, ended once, and never in haste."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tracker.core.lag import COLLECTOR_GROUP, SILENT, Alarm, Limits, News, SourceLag, alert, judge

LIMITS = Limits(behind_ms=60_000, after_ms=30_000)
LATE, WELL = 61_000, 0


def looked(lags: Iterable[tuple[int, int]], alarm: Alarm = SILENT) -> tuple[Alarm, list[tuple[int, News]]]:
    """Looks at lags at times, both in milliseconds: the alarm in the end, and what was said when."""
    said: list[tuple[int, News]] = []
    for at_ms, lag_ms in lags:
        alarm, news = judge(alarm, lag_ms, at_ms, LIMITS)
        if news:
            said.append((at_ms, news))
    return alarm, said


def test_who_stays_behind_is_told_of_once() -> None:
    alarm, said = looked((at_ms, LATE) for at_ms in range(0, 300_001, 5_000))
    assert said == [(30_000, "behind")]
    assert alarm == Alarm(-1, 0)


def test_a_moment_of_lag_is_nothing_and_does_not_add_up() -> None:
    _, said = looked((at_ms, LATE if at_ms % 30_000 else WELL) for at_ms in range(0, 600_001, 5_000))
    assert said == []


def test_who_has_caught_up_for_a_while_is_told_of_once() -> None:
    alarm, _ = looked([(0, LATE), (30_000, LATE)])
    alarm, said = looked(((at_ms, WELL) for at_ms in range(35_000, 200_001, 5_000)), alarm)
    assert said == [(65_000, "caught-up")]
    assert alarm == SILENT


def test_between_half_the_limit_and_the_limit_nothing_is_said() -> None:
    """Lag that swings around the limit raises one alarm and keeps it."""
    swinging = ((at_ms, 59_000 if at_ms // 40_000 % 2 else LATE) for at_ms in range(0, 3_600_001, 5_000))
    _, said = looked(swinging)
    assert said == [(30_000, "behind")]


def test_the_alert_names_who_is_behind_and_keeps_its_id_when_it_is_told_again() -> None:
    alarm, news = judge(Alarm(since_ms=1_000), LATE, 31_000, LIMITS)
    lag = SourceLag(1_234, 61.0)
    told = alert(COLLECTOR_GROUP, Alarm(since_ms=1_000), news, lag, 31_000, alarm)
    again, news = judge(Alarm(since_ms=1_000), LATE + 5_000, 36_000, LIMITS)

    assert (told.cause, told.key, told.saga) == ("tracker-behind", COLLECTOR_GROUP, "")
    assert "1,234 records wait, the oldest for 61 s" in told.message
    assert alert(COLLECTOR_GROUP, Alarm(since_ms=1_000), news, lag, 36_000, again).id == told.id


looks = st.lists(st.tuples(st.integers(1, 60_000), st.integers(0, 120_000)), max_size=200)


@given(looks)
def test_news_take_turns_and_keep_their_distance(steps: list[tuple[int, int]]) -> None:
    at_ms, lags = 0, []
    for after_ms, lag_ms in steps:
        at_ms += after_ms
        lags.append((at_ms, lag_ms))
    _, said = looked(lags)

    assert [news for _, news in said] == ["behind", "caught-up"] * (len(said) // 2) + ["behind"] * (
        len(said) % 2
    )
    assert all(later - earlier >= LIMITS.after_ms for (earlier, _), (later, _) in pairwise(said))


@given(looks, st.integers(0, 200))
def test_who_takes_over_goes_on_where_the_last_one_was(steps: list[tuple[int, int]], place: int) -> None:
    at_ms, lags = 0, []
    for after_ms, lag_ms in steps:
        at_ms += after_ms
        lags.append((at_ms, lag_ms))
    alarm, before = looked(lags[:place])
    _, after = looked(lags[place:], alarm)
    assert before + after == looked(lags)[1]
