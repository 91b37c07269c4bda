"""What is wrong with a saga and what is still to come, for people and for programs."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from tracker.cli.console import FINDING_STYLES
from tracker.cli.moment import time_of_day
from tracker.core.contract.findings import FINDINGS_MAX
from tracker.view.documents.contract import AheadDocument, FindingDocument


def findings_table(findings: Sequence[FindingDocument]) -> Table:
    """A line each: since when, of what kind, and what."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        kind = Text(finding.kind, style=FINDING_STYLES[finding.kind])
        grid.add_row(f"  {time_of_day(finding.since)}", kind, Text(finding.text))
    if len(findings) >= FINDINGS_MAX:
        grid.add_row("", "", f"at its limit of {FINDINGS_MAX} findings: there may be more")
    return grid


def kinds_text(findings: Iterable[FindingDocument]) -> Text:
    """`unexpected, stuck`: each kind once, the oldest first."""
    kinds = dict.fromkeys(finding.kind for finding in findings)
    return Text(", ").join([Text(kind, style=FINDING_STYLES[kind]) for kind in kinds])


def ahead_text(ahead: Iterable[AheadDocument]) -> str:
    """`payment.charged (payments, 92 %) → parcel.dispatched (shipping, 91 %)`."""
    return " → ".join(f"{step.type}{_by(step)}" for step in ahead)


def _by(step: AheadDocument) -> str:
    share = [] if step.share is None else [f"{step.share:.0%}"]
    told = ", ".join([*step.services, *share])
    return f" ({told})" if told else ""
