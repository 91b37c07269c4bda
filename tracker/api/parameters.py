"""Parameters that several endpoints have."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Query
from pydantic import AwareDatetime

from tracker.api.context import Asked
from tracker.core.discovery import VARIANT_ID
from tracker.view.model.aggregates import DAY_MS

TEXT_MAX = 500
LIMIT_MAX = 500
SPAN_MS = 7 * DAY_MS
VARIANT_PATTERN = f"^{VARIANT_ID}$"
EDGE_PATTERN = "^[^,]+,[^,]*,[^,]+$"

SagaId = Annotated[str, Path(max_length=TEXT_MAX, description="Id of a saga.")]
FlowName = Annotated[
    str, Path(max_length=TEXT_MAX, description="A flow, or the type of the event that sagas begin with.")
]
Version = Annotated[int | None, Query(ge=0, lt=2**63, description="Of the flow; without it all of them.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
After = Annotated[str | None, Query(max_length=4_000, description="`next` of the page before.")]
Moment = Annotated[AwareDatetime | None, Query(description="RFC 3339, with a time zone.")]


def milliseconds(at: datetime | None) -> int | None:
    """Since the epoch."""
    return None if at is None else round(at.timestamp() * 1000)


def span(
    context: Asked,
    from_: Annotated[
        AwareDatetime | None, Query(alias="from", description="RFC 3339; by default seven days ago.")
    ] = None,
    until: Annotated[AwareDatetime | None, Query(description="RFC 3339; by default now.")] = None,
) -> tuple[int, int]:
    """A time from and until, milliseconds since the epoch."""
    until_ms = milliseconds(until)
    end_ms = context.now_ms() + 1 if until_ms is None else until_ms
    from_ms = milliseconds(from_)
    return end_ms - SPAN_MS if from_ms is None else from_ms, end_ms


Span = Annotated[tuple[int, int], Depends(span)]
