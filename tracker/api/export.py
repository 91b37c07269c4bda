"""/api/v1/export: the sagas of a search as an event log, streamed."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from enum import StrEnum
from typing import Annotated, assert_never

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response, StreamingResponse

from tracker.api.context import Asked
from tracker.api.sagas import wanted_sagas
from tracker.core.export.csv_log import csv_log
from tracker.core.export.ocel import ocel
from tracker.core.export.xes import xes
from tracker.view.model.search import Wanted
from tracker.view.queries.export import FoundCases
from tracker.view.queries.reader import Reader

CHUNK_CHARACTERS = 64 * 1024

router = APIRouter(tags=["export"])


class LogFormat(StrEnum):
    """OCEL 2.0 (JSON), XES (IEEE 1849), or CSV."""

    OCEL = "ocel"
    XES = "xes"
    CSV = "csv"


_TYPES = {
    LogFormat.OCEL: ("application/json", "sagas.jsonocel"),
    LogFormat.XES: ("application/xml", "sagas.xes"),
    LogFormat.CSV: ("text/csv", "sagas.csv"),
}


@router.get(
    "/export",
    response_model=None,
    response_class=Response,
    responses={
        200: {
            "description": "An event log, piece by piece.",
            "content": {media: {} for media, _ in _TYPES.values()},
        }
    },
)
async def export(
    context: Asked,
    wanted: Annotated[Wanted, Depends(wanted_sagas)],
    format_: Annotated[LogFormat, Query(alias="format")] = LogFormat.OCEL,
) -> Response:
    """Sagas and their events as a log that tools of process mining read."""
    cases = FoundCases(context.reader.engine, context.known(), wanted, context.now_ms())
    media, name = _TYPES[format_]
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_chunks(context.reader, _pieces(cases, format_)), 200, headers, media)


def _pieces(cases: FoundCases, format_: LogFormat) -> Iterable[str]:
    match format_:
        case LogFormat.OCEL:
            return ocel(lambda: cases)
        case LogFormat.XES:
            return xes(cases)
        case LogFormat.CSV:
            return csv_log(cases)
        case _:
            assert_never(format_)


async def _chunks(reader: Reader, pieces: Iterable[str]) -> AsyncIterator[bytes]:
    """The pieces in larger ones; each is made in a thread, when the one before it has been sent."""
    chunk = _chunker(iter(pieces))
    while text := await reader.do(chunk):
        yield text


def _chunker(pieces: Iterator[str]) -> Callable[[], bytes]:
    def chunk() -> bytes:
        found, length = [], 0
        for piece in pieces:
            found.append(piece)
            length += len(piece)
            if length >= CHUNK_CHARACTERS:
                break
        return "".join(found).encode("utf-8", "replace")

    return chunk
