"""What is wrong with a saga, and what is still to come."""

from msgspec import Struct

from tracker.core.contract.ahead import Ahead
from tracker.core.contract.findings import Finding, Kind
from tracker.view.documents.moment import timestamp


class FindingDocument(Struct, frozen=True, gc=False):
    """Something that should not be. `event` is null where it is about the saga as a whole."""

    kind: Kind
    since: str
    event: str | None
    type: str | None
    text: str


class AheadDocument(Struct, frozen=True, gc=False):
    """A step to come; `share` is of those that went the same way so far, null where none did."""

    type: str
    services: list[str]
    share: float | None


def finding_document(finding: Finding) -> FindingDocument:
    """A finding for programs."""
    return FindingDocument(
        finding.kind, timestamp(finding.at_ms), finding.event or None, finding.type or None, finding.text
    )


def ahead_document(step: Ahead) -> AheadDocument:
    """A step to come for programs."""
    return AheadDocument(step.type, list(step.services), None if step.share < 0 else step.share)
