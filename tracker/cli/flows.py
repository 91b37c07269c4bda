"""Flows as head lines: how many sagas are in flight and where, how many are done, how fast, how late."""

from collections.abc import Callable, Sequence

from rich.text import Text

from tracker.cli.console import STAND_STYLES, STATUS_STYLES
from tracker.core.status import Status
from tracker.view.flows import FlowSummary, Stage

_BARS = "▁▂▃▄▅▆▇█"


def flows_head(flows: Sequence[FlowSummary]) -> Text:
    """Two lines for each flow: its numbers, and how many sagas stand at which stage and are undone."""
    lines: list[Text] = []
    for flow in flows:
        lines.append(_numbers(flow, flows))
        if has_second_line(flow):
            lines.append(_stages_line(flow))
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def has_second_line(flow: FlowSummary) -> bool:
    """Whether there is more to say of a flow than its numbers."""
    return bool(flow.stages or flow.compensated or flow.cancelled)


def stages_text(stages: Sequence[Stage]) -> str:
    """`placed 212 → reserved 804`: the last part of each type, where that tells them apart."""
    short = [stage.type.rpartition(".")[2] for stage in stages]
    if len(set(short)) < len(short):
        short = [stage.type for stage in stages]
    return " → ".join(
        f"{name or '(not read)'} {stage.sagas:,}" for name, stage in zip(short, stages, strict=True)
    )


def _numbers(flow: FlowSummary, flows: Sequence[FlowSummary]) -> Text:
    def count(of: Callable[[FlowSummary], int]) -> str:
        width = max(len(f"{of(other):,}") for other in flows)
        return f"{of(flow):>{width},}"

    name_width = max(len(other.flow) for other in flows)
    retrying, failed = count(lambda f: f.retrying), count(lambda f: f.failed)
    line = Text(f"{flow.flow:<{name_width}}  in flight {count(lambda f: f.in_flight)}  ")
    line.append(f"retrying {retrying}", style=STATUS_STYLES[Status.RETRYING] if flow.retrying else "")
    line.append("  ")
    line.append(f"failed {failed}", style=STATUS_STYLES[Status.FAILED] if flow.failed else "")
    line.append(f"  done {count(lambda f: f.completed)}  {flow.per_second:,.1f}/s {_bars(flow.recent)}")
    if flow.timed:
        line.append(f"  on time {flow.on_time:,} · ")
        line.append(f"due soon {flow.due_soon:,}", style=STAND_STYLES["due soon"] if flow.due_soon else "")
        line.append(" · ")
        line.append(f"overdue {flow.overdue:,}", style=STAND_STYLES["overdue"] if flow.overdue else "")
    return line


def _stages_line(flow: FlowSummary) -> Text:
    line = Text("  " + stages_text(flow.stages))
    aside = (
        (Status.PAUSED, flow.paused),
        (Status.COMPENSATING, flow.compensating),
        (Status.STUCK, flow.stuck),
        (Status.COMPENSATED, flow.compensated),
        (Status.CANCELLED, flow.cancelled),
    )
    between = "   " if flow.stages else ""
    for status, sagas in aside:
        if sagas:
            line.append(between)
            line.append(f"{status} {sagas:,}", style=STATUS_STYLES[status])
            between = " · "
    return line


def _bars(recent: Sequence[int]) -> str:
    most = max(recent) or 1
    return "".join(_BARS[round(count / most * (len(_BARS) - 1))] for count in recent)
