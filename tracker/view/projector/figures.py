"""What a projector tells of its work to those in the same process."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tracker.view.known import Known
from tracker.view.model.freshness import Projected


@dataclass
class ProjectorFigures:
    """Kept current by the projector.

    Attributes
    ----------
    said : what it has written of itself last.
    known : the flows and services by which sagas are read.
    working : whether it is the one that has the database.
    records : how many it has written.
    restarts : how often it began again because something was not there.
    unreadable : records of feeds that were none of ours.
    """

    said: Projected = field(default_factory=Projected)
    known: Known = field(default_factory=Known)
    working: bool = False
    records: int = 0
    restarts: int = 0
    unreadable: int = 0

    @property
    def building(self) -> bool:
        """Whether sagas are read from the beginning, and not all are there yet."""
        return self.working and self.said.building and self.said.build_records > 0

    def unready(self) -> str:
        """Why what it writes is not to be relied on; "" if it is."""
        if not self.working:
            return "another projector has the database, or Kafka or the database are not there"
        return "the read model is made from the beginning" if self.said.building else ""

    def metrics(self, now_seconds: float) -> Iterator[tuple[str, str, float, bool]]:
        """Names, meanings and values; the last says whether it is a counter."""
        said = self.said
        age = max(0.0, now_seconds - said.as_of_ms / 1000) if said.as_of_ms else 0.0
        yield "saga_projector_working", "1 while it is the one that writes.", int(self.working), False
        yield "saga_projector_age_seconds", "How old what the database shows is.", age, False
        yield "saga_projector_lag_records", "Records that were not read.", said.lag_records, False
        yield (
            "saga_projector_building",
            "1 while sagas are read from the beginning.",
            int(self.building),
            False,
        )
        yield "saga_projector_records", "Records written.", self.records, True
        yield "saga_projector_restarts", "Times that it began again.", self.restarts, True
        yield (
            "saga_projector_unreadable_records",
            "Records of other topics that are none.",
            self.unreadable,
            True,
        )
