"""The first page: one look says how far each flow is, and whether anything is wrong with it."""

import asyncio
from collections.abc import Mapping, Sequence

from tracker.access.role import Role
from tracker.core.contract.findings import Kind
from tracker.core.flow import Flow
from tracker.core.words import plural
from tracker.dashboard.desk import Desk
from tracker.dashboard.drawing import sparkline
from tracker.dashboard.moment import ago, ms_of
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.place import Place, href, path_to
from tracker.dashboard.words import state
from tracker.view.duration import human
from tracker.view.flows import SLICE_MS
from tracker.view.queries.flows import (
    EndedCounts,
    FlowStanding,
    HistoryDocument,
    HourDocument,
    StageStanding,
    StandstillDocument,
    flow_history,
    flow_standings,
)

HOUR_MS = 3_600_000
HOURS_SHOWN = 24
RECENT_MIN = 20
"""So many must have ended lately to tell a rate by; fewer say more about chance."""

STANDSTILLS_MAX = 3
CARDS_MAX = 50
"""Of so many flows there are cards; of more the busiest, and a list leads to the others."""


async def overview_page(desk: Desk, _: Place, __: Role) -> Page:
    """A card for each flow."""
    known, now_ms = desk.known, desk.now_ms
    standings = await desk.ask("flows", flow_standings, known, now_ms)
    flows = cards_of(standings.flows)
    from_ms, until_ms = hours_until(now_ms)
    histories = await asyncio.gather(
        *(
            desk.ask((flow.flow, from_ms), flow_history, known, flow.flow, None, from_ms, until_ms)
            for flow in flows
        )
    )
    declared = {flow.flow: known.flows.newest(flow.flow) for flow in flows}
    return Page("Overview", overview_body(flows, histories, declared, len(standings.flows), now_ms))


def hours_until(now_ms: int) -> tuple[int, int]:
    """The whole hours that are shown, the current one the last."""
    until_ms = now_ms - now_ms % HOUR_MS + HOUR_MS
    return until_ms - HOURS_SHOWN * HOUR_MS, until_ms


def overview_body(
    flows: Sequence[FlowStanding],
    histories: Sequence[HistoryDocument],
    declared: Mapping[str, Flow | None],
    of: int,
    now_ms: int,
) -> Node:
    """All cards; `of` so many flows."""
    if not flows:
        what = [
            "Flows come with flow files, and with the first events: try ", h("code", {}, "make demo"),
            ", or start a tracker with ", h("code", {}, "saga track --flows FOLDER"), ".",
        ]  # fmt: skip
        return body(head("Overview"), panel("", empty("No flows yet", *what)))
    in_flight = sum(flow.in_flight for flow in flows)
    done = sum(flow.today.completed for flow in flows)
    more = (
        [h("p", {}, f"These are the {len(flows)} busiest of {of}: ", link("/flows", "", "all flows"), ".")]
        if of > len(flows)
        else []
    )
    return body(
        head(
            "Overview", h("p", {"class": "numbers"}, f"{in_flight:,} in flight, {done:,} done today"), *more
        ),
        [
            flow_card(flow, history, declared.get(flow.flow), now_ms)
            for flow, history in zip(flows, histories, strict=True)
        ],
    )


def cards_of(flows: Sequence[FlowStanding]) -> list[FlowStanding]:
    """The busiest `CARDS_MAX`: those with a flow file first, and of these what needs a look.

    Otherwise by name: counts change all the time, and no card shall move under the pointer for that.
    """

    def ill(flow: FlowStanding) -> int:
        return flow.stuck + flow.overdue + len(flow.standstills)

    def needs(flow: FlowStanding) -> tuple[bool, bool]:
        return flow.version is None, not ill(flow)

    busiest = sorted(flows, key=lambda flow: (*needs(flow), -ill(flow), -flow.in_flight))
    return sorted(busiest[:CARDS_MAX], key=lambda flow: (*needs(flow), flow.flow))


def flow_card(flow: FlowStanding, history: HistoryDocument, declared: Flow | None, now_ms: int) -> Node:
    """How far one flow is."""
    return h(
        "section",
        {"class": "panel", "key": flow.flow, "aria-label": flow.flow},
        div(
            "card-head",
            h(
                "h2",
                {},
                link(path_to("flows", flow.flow), "", flow.flow),
                span("faint", f" v{flow.version}" if flow.version else " no flow file"),
            ),
            div("figures numbers", *_figures(flow)),
        ),
        [_standstill(flow, still) for still in flow.standstills[:STANDSTILLS_MAX]],
        div(
            "card-body",
            div("", _funnel(flow, declared), _deadlines(flow)),
            div("side", _throughput(flow, history, now_ms), _took(history, now_ms)),
        ),
    )


def _standstill(flow: FlowStanding, still: StandstillDocument) -> Node:
    """Where sagas wait for longer than usual, and a way to them."""
    told_ms = ms_of(still.told_at)
    what = (
        f"{still.service} does not answer {still.type}" if still.service else f"nothing follows {still.type}"
    )
    when = [" · told ", ago(told_ms), " ago"] if told_ms is not None else []
    return h(
        "p",
        {"class": "standstill"},
        link(
            href("/sagas", {"flow": flow.flow, "finding": Kind.STUCK.value}),
            "",
            state("stuck", f"Standstill: {what}"),
        ),
        span("faint", *when),
    )


def _figures(flow: FlowStanding) -> list[Child]:
    """What there is; what needs somebody is always in the same place, and in colour."""
    today = flow.today
    told: list[tuple[int, str, str, dict[str, str]]] = [
        (flow.in_flight, "in flight", "", {"status": "in-flight"}),
        (today.completed, "done today", "", {"status": "completed"}),
        (flow.retrying, "failing", "soon", {"status": "retrying"}),
        (flow.compensating, "compensating", "undo", {"status": "compensating"}),
        (flow.stuck, "stuck", "stuck", {"status": "stuck"}),
        (flow.paused, "paused", "", {"status": "paused"}),
        (today.failed, "failed today", "late", {"status": "failed"}),
        (today.compensated, "compensated today", "", {"status": "compensated"}),
        (today.breached, "late today", "late", {}),
    ]
    return [
        link(
            href("/sagas", {"flow": flow.flow, **asked}),
            f"figure {classes}",
            h("b", {}, f"{count:,}"),
            f" {words}",
        )
        for index, (count, words, classes, asked) in enumerate(told)
        if count or index < 2
    ]


def _funnel(flow: FlowStanding, declared: Flow | None) -> Node:
    """A column for each stage: as high as sagas stand there now, in the colours of how they stand."""
    by_type = {stage.type: stage for stage in flow.stages}
    top = max((stage.sagas for stage in flow.stages), default=0) or 1
    stages = [_stage(flow, name, by_type.get(name), top) for name in _along(flow, declared)]
    done = flow.today.completed
    end = h(
        "a",
        {
            "href": href("/sagas", {"flow": flow.flow, "status": "completed"}),
            "class": "stage end",
            "role": "listitem",
            "title": f"{plural(done, 'saga')} completed today",
        },
        div("column-space"),
        span(f"standing number{'' if done else ' none'}", f"{done:,}"),
        span("stage-name", "done today"),
        span("stage-states"),
    )
    return div("funnel", *stages, end, role="list", aria_label="In flight at each stage, and done today")


def _along(flow: FlowStanding, declared: Flow | None) -> list[str]:
    """The stages in the order in which sagas pass them; ends only where sagas stand at one."""
    there = [stage.type for stage in flow.stages]
    if declared is None:
        return there
    ends = set(declared.ends)
    way = dict.fromkeys([declared.begins, *(name for name in declared.events if name not in ends)])
    return [*way, *(name for name in there if name not in way)]


def _stage(flow: FlowStanding, name: str, stage: StageStanding | None, top: int) -> Node:
    sagas = stage.sagas if stage is not None else 0
    piles = _piles(stage) if stage is not None else []
    states = [span(f"state {classes}", f"{count:,} {words}") for count, words, classes in piles if words]
    address = href("/sagas", {"flow": flow.flow, "status": "in-flight", "where": name})
    return h(
        "a",
        {
            "href": address,
            "class": "stage",
            "role": "listitem",
            "title": f"{name}: {plural(sagas, 'saga')}",
        },
        div(
            "column-space",
            h(
                "div",
                {"class": "pile", "style": f"--h:{sagas / top:.1%}"},
                *(
                    h("span", {"class": classes or "going", "style": f"--h:{count / sagas:.1%}"})
                    for count, _, classes in piles
                ),
            ),
        ),
        span(f"standing number{'' if sagas else ' none'}", f"{sagas:,}"),
        span("stage-name", name or "(not read)"),
        span("stage-states number", *states),
    )


def _piles(stage: StageStanding) -> list[tuple[int, str, str]]:
    """How those that stand at a stage stand, the worst on top; each saga once."""
    worst = stage.stuck
    undone = stage.compensating
    going = stage.sagas - worst - undone
    late = min(stage.overdue, going)
    soon = min(stage.due_soon, going - late)
    failing = min(stage.retrying, going - late - soon)
    rest = going - late - soon - failing
    told = [
        (worst, "stuck", "stuck"),
        (undone, "undone", "undo"),
        (late, "overdue", "late"),
        (soon, "due soon", "soon"),
        (failing, "failing", "soon"),
        (rest, "", ""),
    ]
    return [each for each in told if each[0]]


def _deadlines(flow: FlowStanding) -> Node | None:
    """The share of those on time, in words and as a line."""
    told = [
        (flow.on_time, "on time", "ok"),
        (flow.due_soon, "due soon", "soon"),
        (flow.overdue, "overdue", "late"),
    ]
    timed = sum(count for count, _, _ in told)
    if not timed:
        return None
    line = [
        h("span", {"class": classes, "style": f"--w:{count / timed:.2%}", "key": words})
        for count, words, classes in told
        if count
    ]
    words: list[Child] = [
        link(
            href("/sagas", {"flow": flow.flow, "sla": words}),
            f"figure {classes if count else ''}",
            h("b", {}, f"{count:,}"),
            f" {words}",
        )
        for count, words, classes in told
    ]
    said = ", ".join(f"{count:,} {words}" for count, words, _ in told)
    return div(
        "deadline-line",
        h("div", {"class": "share", "role": "img", "aria-label": said}, *line),
        div("figures numbers", *words),
    )


def _throughput(flow: FlowStanding, history: HistoryDocument, now_ms: int) -> Node:
    ended = hours_of(history, *hours_until(now_ms))
    counts = [0 if hour is None else ended_of(hour) for hour in ended]
    rate, of = rate_of(flow.recent, counts, now_ms)
    return div(
        "trend",
        span("label", "ended in each hour, 24 hours"),
        sparkline.columns(counts, f"{sum(counts):,} sagas ended in 24 hours"),
        h("b", {"class": "number", "title": of}, rate),
    )


def ended_of(counts: EndedCounts) -> int:
    """All that ended, however."""
    return counts.completed + counts.failed + counts.compensated + counts.cancelled


def rate_of(recent: Sequence[int], counts: Sequence[int], now_ms: int) -> tuple[str, str]:
    """How many end in a while, and in which: in the last moments, unless these are too few to tell."""
    count, of_ms, of = sum(recent), len(recent) * SLICE_MS, f"in the last {human(len(recent) * SLICE_MS)}"
    if count < RECENT_MIN:
        count, of_ms, of = counts[-1], now_ms % HOUR_MS, "in this hour so far"
        if of_ms < HOUR_MS // 6:
            count, of_ms, of = counts[-2], HOUR_MS, "in the last whole hour"
    per_hour = count * HOUR_MS / of_ms
    if per_hour >= 3_600:
        return f"{per_hour / 3_600:,.1f}/s", of
    return (f"{per_hour / 60:,.1f}/min" if per_hour >= 60 else f"{per_hour:,.0f}/h"), of


def _took(history: HistoryDocument, now_ms: int) -> Node:
    p95s = [None if hour is None else hour.took.p95_ms for hour in hours_of(history, *hours_until(now_ms))]
    newest = next((each for each in reversed(p95s) if each is not None), None)
    return div(
        "trend",
        span("label", "95 of 100 took no longer than"),
        sparkline.line(p95s, "the 95th percentile of durations by the hour"),
        h(
            "b",
            {"class": "number", "title": "in the newest hour"},
            "no ends yet" if newest is None else human(newest),
        ),
    )


def hours_of(history: HistoryDocument, from_ms: int, until_ms: int) -> list[HourDocument | None]:
    """An entry for each hour of this time; None where nothing ended."""
    found = {ms_of(hour.hour): hour for hour in history.hours}
    return [found.get(at_ms) for at_ms in range(from_ms, until_ms, HOUR_MS)]
