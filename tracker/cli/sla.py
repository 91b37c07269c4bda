"""Deadlines and forecasts for people and for programs."""

from collections.abc import Iterable, Sequence
from typing import assert_never

from rich.table import Table
from rich.text import Text

from tracker.cli.console import STAND_STYLES
from tracker.cli.duration import human
from tracker.cli.moment import timestamp
from tracker.core.course import Told
from tracker.core.flow import Answer, Between, Rule, Silence
from tracker.core.prediction import Forecast
from tracker.core.sla import Clock
from tracker.view.clocks import RUNNING, ClockView, stand_of
from tracker.view.row import Row


def sla_text(row: Row, now_ms: int) -> Text:
    """`charge-fast overdue 53 s`: the most urgent clock; where none runs, what was breached."""
    if row.clocks:
        first = row.clocks[0]
        stand = stand_of(first, now_ms)
        left = human(abs(first.due_ms - now_ms))
        words = f"overdue {left}" if stand == "overdue" else f"{left} left"
        return _cell(f"{first.rule.name} {words}", STAND_STYLES[stand])
    breached = [told for told in row.told if told.breached]
    if not breached:
        return Text()
    worst = max(breached, key=lambda told: told.late_ms)
    more = f" + {len(breached) - 1} more" if len(breached) > 1 else ""
    return _cell(f"{worst.rule} {_lateness(worst)}{more}", STAND_STYLES["late"])


def forecast_text(forecast: Forecast | None, now_ms: int) -> str:
    """`ends in 12 s, 40 s at most in 9 of 10`; why there is no forecast where there is none."""
    if forecast is None:
        return ""
    if forecast.known:
        p50, p90 = human(forecast.end_p50_ms - now_ms), human(forecast.end_p90_ms - now_ms)
        return f"in {p50}" if p50 == p90 else f"in {p50}, 9 of 10 in {p90}"
    if forecast.unusual:
        most = "all" if not forecast.alike else f"all but {forecast.alike} of"
        return f"slower than {most} {forecast.history} before it"
    if forecast.history > forecast.alike:
        return f"only {forecast.alike} of {forecast.history} before it were as slow"
    return "no history" if not forecast.history else f"no history: {forecast.history} before it"


def risk_text(forecast: Forecast) -> str:
    """`45 %`: the greatest chance that a deadline is breached; "" if that is not known."""
    return percent(forecast.risk) if forecast.chances else ""


def percent(chance: float) -> str:
    """`45 %`; never 0 or 100 for what is only nearly so."""
    if 0 < chance < 0.01:
        return "< 1 %"
    if 0.99 < chance < 1:
        return "> 99 %"
    return f"{chance:.0%}".replace("%", " %")


def clocks_table(views: Iterable[ClockView], forecast: Forecast | None) -> Table:
    """All clocks of a saga: what they measure, how long it may take, how they stand."""
    chances = {} if forecast is None else {(each.rule, each.event): each.chance for each in forecast.chances}
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for view in views:
        clock = view.clock
        told = Text(_stand_words(view), style=STAND_STYLES[view.stand])
        chance = chances.get((clock.rule.name, clock.event))
        if chance is not None and view.stand in RUNNING and view.stand != "overdue":
            told.append(f", {percent(chance)} to be breached", style="")
        table.add_row(f"  {clock.rule.name}", measured(clock.rule), human(clock.rule.within_ms), told)
    return table


def measured(rule: Rule) -> str:
    """`stock.reserved → payment.charged or payment.declined`."""
    match rule:
        case Between():
            return f"{rule.start} → {' or '.join(rule.ends) or 'end'}"
        case Silence():
            return "no event for"
        case Answer():
            return f"{rule.event} → {rule.service} answers"
        case _:
            assert_never(rule)


def clock_json(view: ClockView, forecast: Forecast | None) -> dict[str, object]:
    """A clock for programs; `left_ms` is below zero when it is overdue."""
    clock = view.clock
    key = clock.rule.name, clock.event
    chances = {} if forecast is None else {(each.rule, each.event): each.chance for each in forecast.chances}
    left_ms = -view.by_ms if view.stand == "overdue" else view.by_ms
    return {
        "rule": clock.rule.name,
        "measures": measured(clock.rule),
        "event": clock.event,
        "within_ms": clock.rule.within_ms,
        "started": timestamp(clock.start_ms),
        "due": timestamp(clock.due_ms),
        "warn_at": _moment(clock.warn_at_ms),
        "met": _moment(clock.met_ms),
        "stands": view.stand,
        "left_ms": left_ms if view.stand in RUNNING else None,
        "late_ms": view.by_ms if view.stand in ("late", "missed", "overdue") else None,
        "chance_to_breach": chances.get(key) if view.stand in RUNNING else None,
    }


def running_json(clock: Clock, now_ms: int) -> dict[str, object]:
    """A running clock in a list, for programs."""
    return {
        "rule": clock.rule.name,
        "event": clock.event,
        "due": timestamp(clock.due_ms),
        "stands": stand_of(clock, now_ms),
        "left_ms": clock.due_ms - now_ms,
    }


def told_json(told: Told) -> dict[str, object]:
    """A warning or a breach, for programs."""
    return {
        "rule": told.rule,
        "event": told.event,
        "level": "breached" if told.breached else "warned",
        "due": timestamp(told.due_ms),
        "late_ms": None if told.late_ms < 0 else told.late_ms,
    }


def forecast_json(forecast: Forecast | None) -> dict[str, object] | None:
    """A forecast for programs; the ends are null where too little is known."""
    if forecast is None:
        return None
    return {
        "where": forecast.where,
        "history": forecast.history,
        "alike": forecast.alike,
        "unusual": forecast.unusual,
        "end_p50": _moment(forecast.end_p50_ms),
        "end_p90": _moment(forecast.end_p90_ms),
        "chances": [
            {"rule": chance.rule, "event": chance.event, "to_breach": chance.chance}
            for chance in forecast.chances
        ],
    }


def breaches_text(told: Sequence[Told]) -> Text:
    """What was told of breaches, one a line."""
    return Text("\n").join(
        Text(f"{each.rule} {_lateness(each)}", style=STAND_STYLES["late"]) for each in told if each.breached
    )


def _stand_words(view: ClockView) -> str:
    by = human(view.by_ms)
    match view.stand:
        case "on time" | "due soon":
            return f"{by} left"
        case "overdue":
            return f"overdue {by}"
        case "met":
            return f"met after {by}"
        case "late":
            return f"late by {by}"
        case "missed":
            return "breached, and it never came"
        case "stopped":
            return f"stopped after {by}"
        case _:
            assert_never(view.stand)


def _lateness(told: Told) -> str:
    return "breached" if told.late_ms < 0 else f"late by {human(told.late_ms)}"


def _moment(at_ms: int) -> str | None:
    return None if at_ms < 0 else timestamp(at_ms)


def _cell(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
