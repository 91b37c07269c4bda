"""How sagas of a flow went: which way, how long, and how often a deadline was kept."""

from collections.abc import Sequence

from tracker.core.words import plural
from tracker.dashboard.drawing import sparkline
from tracker.dashboard.drawing.histogram import Column, histogram
from tracker.dashboard.moment import at, ms_of
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import panel
from tracker.dashboard.pages.overview import HOUR_MS, ended_of, hours_of
from tracker.dashboard.place import href
from tracker.dashboard.table import table
from tracker.dashboard.words import state
from tracker.view.documents.flow import VariantDocument, VariantsDocument
from tracker.view.duration import human
from tracker.view.percent import percent
from tracker.view.queries.flows import HistoryDocument, SpreadDocument

COLUMNS_MAX = 48


def variants_panel(variants: VariantsDocument) -> Node:
    """The ways that sagas went, the most frequent first."""
    if not variants.variants:
        return panel("Ways they went", _nothing(), name="variants")
    rows = [_way(each, variants) for each in variants.variants]
    more = None
    if variants.not_told_apart:
        more = h("p", {"class": "soft"}, f"{variants.not_told_apart:,} went others.")
    lines = table(["Share", "Sagas", "Way", "Middle"], rows, right=("Share", "Sagas", "Middle"))
    since_ms = ms_of(variants.ended_from)
    beside = None
    if since_ms is not None:
        beside = span("soft", f"{plural(variants.sagas, 'saga')} that ended from ", at(since_ms), " on")
    return panel("Ways they went", lines, more, beside=beside, name="variants")


def _way(variant: VariantDocument, of: VariantsDocument) -> Node:
    """The whole line leads to the sagas that it counts."""
    asked = {"flow": of.flow, "variant": variant.id, "ended-from": of.ended_from or ""}
    address = href("/sagas", asked)
    way = link(address, "", " → ".join(variant.types), data_step=True)
    share = div("share", h("span", {"class": "plain", "style": f"--w:{variant.share:.1%}"}))
    return h(
        "tr",
        {"key": variant.id, "data-href": address},
        h("td", {"class": "right tight"}, percent(variant.share)),
        h("td", {"class": "right tight soft"}, f"{variant.sagas:,}"),
        h("td", {"class": "wide-text"}, way, share),
        h("td", {"class": "right tight"}, human(variant.p50_ms)),
    )


def durations_panel(history: HistoryDocument, from_ms: int, until_ms: int) -> Node:
    """How many took how long, and how that changed."""
    if not history.spread:
        return panel("How long they took", _nothing(), name="durations")
    ended = sum(step.sagas for step in history.spread)
    columns = [
        Column(human(step.from_ms), step.sagas, f"{_between(step)}: {percent(step.sagas / ended)}")
        for step in history.spread
    ]
    last = history.spread[-1].until_ms
    times = [None if hour is None else hour.took for hour in hours_of(history, from_ms, until_ms)]
    half = [None if took is None else took.p50_ms for took in times]
    most = [None if took is None else took.p95_ms for took in times]
    return panel(
        "How long they took",
        histogram(columns, "" if last is None else human(last), "how many took how long"),
        div(
            "side",
            _trend("half took no longer than", history.took.p50_ms, half),
            _trend("95 of 100 took no longer than", history.took.p95_ms, most),
        ),
        beside=span("soft", plural(ended, "saga")),
        name="durations",
    )


def _nothing() -> Node:
    return h("p", {"class": "quiet-text"}, "None has ended in this time.")


def _between(step: SpreadDocument) -> str:
    if step.until_ms is None:
        return f"{human(step.from_ms)} or longer"
    return f"{human(step.from_ms)} to {human(step.until_ms)}"


def _trend(words: str, whole: float | None, values: Sequence[float | None]) -> Node:
    number = h("b", {"class": "number"}, "-" if whole is None else human(whole))
    return div("trend", span("label", words), sparkline.line(values, words), number)


def deadlines_panel(history: HistoryDocument, from_ms: int, until_ms: int) -> Node:
    """How often a deadline was breached, over time."""
    whole = history.whole
    ended = ended_of(whole)
    if not ended:
        return panel("Deadlines kept", _nothing(), name="deadlines")
    steps = _steps(history, from_ms, until_ms)
    each = human((until_ms - from_ms) / len(steps))
    kept: list[Child] = [
        h("b", {"class": "number"}, percent(1 - whole.breached / ended)),
        " in time, ",
        state("late" if whole.breached else "plain", f"{whole.breached:,} breached"),
        f" of {plural(ended, 'saga')}",
    ]
    return panel(
        "Deadlines kept",
        h("p", {"class": "numbers"}, *kept),
        div("tall", sparkline.shares(steps, f"ended and breached in each {each}")),
        beside=span("soft", f"ended in each {each}, those with a breach in colour"),
        name="deadlines",
    )


def _steps(history: HistoryDocument, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
    """How many ended, and how many of them with a breach, in as many equal times as there is room for."""
    hours = (until_ms - from_ms) // HOUR_MS
    step_ms = -(-hours // COLUMNS_MAX) * HOUR_MS
    found = [(0, 0)] * -(-(until_ms - from_ms) // step_ms)
    for hour in history.hours:
        at_ms = ms_of(hour.hour)
        if at_ms is not None and from_ms <= at_ms < until_ms:
            index = (at_ms - from_ms) // step_ms
            ended, breached = found[index]
            found[index] = ended + ended_of(hour), breached + hour.breached
    return found
