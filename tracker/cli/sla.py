"""Deadlines and forecasts for people."""

from collections.abc import Iterable
from typing import assert_never

from rich.table import Table
from rich.text import Text

from tracker.cli.console import STAND_STYLES
from tracker.view.documents.clocks import ClockDocument, ForecastDocument, RunningClock, ToldDocument
from tracker.view.documents.moment import read_timestamp
from tracker.view.duration import human
from tracker.view.percent import percent


def sla_text(clocks: list[RunningClock], told: list[ToldDocument]) -> Text:
    """`charge-fast overdue 53 s`: the most urgent clock; where none runs, what was breached."""
    if clocks:
        first = clocks[0]
        left = human(abs(first.left_ms))
        words = f"overdue {left}" if first.stands == "overdue" else f"{left} left"
        return _cell(f"{first.rule} {words}", STAND_STYLES[first.stands])
    breached = [each for each in told if each.level == "breached"]
    if not breached:
        return Text()
    worst = max(breached, key=lambda each: -1 if each.late_ms is None else each.late_ms)
    more = f" + {len(breached) - 1} more" if len(breached) > 1 else ""
    return _cell(f"{worst.rule} {_lateness(worst)}{more}", STAND_STYLES["late"])


def forecast_text(forecast: ForecastDocument | None, now_ms: int) -> str:
    """`ends in 12 s, 40 s at most in 9 of 10`; why there is no forecast where there is none."""
    if forecast is None:
        return ""
    if forecast.end_p50 is not None and forecast.end_p90 is not None:
        p50, p90 = (human(read_timestamp(end) - now_ms) for end in (forecast.end_p50, forecast.end_p90))
        return f"in {p50}" if p50 == p90 else f"in {p50}, 9 of 10 in {p90}"
    if forecast.unusual:
        most = "all" if not forecast.alike else f"all but {forecast.alike} of"
        return f"slower than {most} {forecast.history} before it"
    if forecast.history > forecast.alike:
        return f"only {forecast.alike} of {forecast.history} before it were as slow"
    return "no history" if not forecast.history else f"no history: {forecast.history} before it"


def risk_text(forecast: ForecastDocument) -> str:
    """`45 %`: the greatest chance that a deadline is breached; "" if that is not known."""
    return percent(forecast.chances[0].to_breach) if forecast.chances else ""


def clocks_table(clocks: Iterable[ClockDocument]) -> Table:
    """All clocks of a saga: what they measure, how long it may take, how they stand."""
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for clock in clocks:
        told = Text(_stand_words(clock), style=STAND_STYLES[clock.stands])
        if clock.chance_to_breach is not None and clock.stands != "overdue":
            told.append(f", {percent(clock.chance_to_breach)} to be breached", style="")
        table.add_row(f"  {clock.rule}", clock.measures, human(clock.within_ms), told)
    return table


def _stand_words(clock: ClockDocument) -> str:
    left, late, took = (human(each or 0) for each in (clock.left_ms, clock.late_ms, clock.took_ms))
    match clock.stands:
        case "on time" | "due soon":
            return f"{left} left"
        case "overdue":
            return f"overdue {late}"
        case "met":
            return f"met after {took}"
        case "late":
            return f"late by {late}"
        case "missed":
            return "breached, and it never came"
        case "stopped":
            return f"stopped after {took}"
        case "paused":
            return f"paused, {left} left"
        case _:
            assert_never(clock.stands)


def _lateness(told: ToldDocument) -> str:
    return "breached" if told.late_ms is None else f"late by {human(told.late_ms)}"


def _cell(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
