"""All flows in a table."""

from collections.abc import Sequence

from tracker.access.role import Role
from tracker.dashboard.desk import Desk
from tracker.dashboard.node import Node, h, link
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.place import Place, path_to
from tracker.dashboard.table import table
from tracker.view.duration import human
from tracker.view.queries.flows import FlowStanding, flow_standings

_COUNTS = "In flight", "Failing", "Compensating", "Stuck", "Overdue", "Done today"
_TIMES = "Middle", "95 %"


async def flows_page(desk: Desk, _: Place, __: Role) -> Page:
    """Those that are declared, and those that only have sagas."""
    standings = await desk.ask("flows", flow_standings, desk.known, desk.now_ms)
    if not standings.flows:
        nothing = empty("No flows yet", "They come with flow files, and with the first events of services.")
        return Page("Flows", body(head("Flows"), panel("", nothing)))
    return Page("Flows", body(head("Flows"), panel("", flows_table(standings.flows))))


def flows_table(flows: Sequence[FlowStanding]) -> Node:
    """A line for each flow."""
    columns = ["Flow", "Version", *_COUNTS, *_TIMES]
    return table(columns, [_row(flow) for flow in flows], right=(*_COUNTS, *_TIMES))


def _row(flow: FlowStanding) -> Node:
    address = path_to("flows", flow.flow)
    counts = [
        (flow.in_flight, ""),
        (flow.retrying, "soon"),
        (flow.compensating, "undo"),
        (flow.stuck, "stuck"),
        (flow.overdue, "late"),
        (flow.today.completed, ""),
    ]
    cells = [
        h("td", {}, link(address, "", flow.flow, data_step=True)),
        h("td", {"class": "soft"}, f"v{flow.version}" if flow.version else "no flow file"),
        *(
            h("td", {"class": f"right state {classes if count else 'plain'}"}, f"{count:,}" if count else "-")
            for count, classes in counts
        ),
        *(
            h("td", {"class": "right"}, "" if took is None else human(took))
            for took in (flow.took.p50_ms, flow.took.p95_ms)
        ),
    ]
    return h("tr", {"data-href": address, "key": flow.flow}, *cells)
