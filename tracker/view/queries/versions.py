"""Flow files as they run."""

from msgspec import Struct

from tracker.view.contract import UnknownFlow
from tracker.view.known import Known


class VersionDocument(Struct, frozen=True, gc=False):
    """One version of a flow file; `text` is the YAML as it was published.

    `retired`: it begins no more sagas, and those that follow it go on to do so.
    """

    version: int
    begins: str
    completed: tuple[str, ...]
    failed: tuple[str, ...]
    retired: bool
    text: str


class VersionsDocument(Struct, frozen=True):
    """All versions of a flow, the newest first."""

    flow: str
    versions: list[VersionDocument]


def flow_versions(known: Known, name: str) -> VersionsDocument:
    """The versions of a flow, by its name or the type of its first event.

    Raises
    ------
    UnknownFlow
        No flow file has this name.
    """
    newest = known.flows.newest(name) or known.flows.beginning(name)
    if newest is None:
        raise UnknownFlow(f"there is no flow file {name!r}")
    versions = sorted((flow for flow in known.flows if flow.name == newest.name), key=lambda f: -f.version)
    return VersionsDocument(
        newest.name,
        [
            VersionDocument(
                flow.version,
                flow.begins,
                flow.completed,
                flow.failed,
                (flow.name, flow.version) in known.flows.retired,
                flow.source,
            )
            for flow in versions
        ],
    )
