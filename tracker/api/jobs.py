"""/api/v1/jobs: one action for many sagas, or a redrive of dead letters; worked on behind the scenes."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Struct, json
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response
from uuid_utils import uuid7

from tracker.access.permit import act, permitted
from tracker.access.role import Role
from tracker.api.answer import answer, answers
from tracker.api.context import Asked, Context
from tracker.api.parameters import EDGE_PATTERN, VARIANT_PATTERN
from tracker.api.problem import Problem
from tracker.core.collect import REASON_LENGTH_MAX
from tracker.core.command import Action
from tracker.core.contract.expected import edge_of
from tracker.core.dead_letter import read_place
from tracker.core.status import Status
from tracker.jobs.document import (
    JobDocument,
    JobItemsDocument,
    JobsDocument,
    item_document,
    job_document,
)
from tracker.jobs.job import SAGAS_MAX, Letters, Sagas
from tracker.runtime.redrive import BATCH_MAX
from tracker.view.clocks import Stand
from tracker.view.model.jobs import ItemState, JobRow, JobStore
from tracker.view.model.search import Wanted
from tracker.view.queries.jobs import saga_ids

TEXT_MAX = 500
LETTERS_MAX = 1_000
IDS_MAX = 10_000

router = APIRouter(prefix="/jobs", tags=["jobs"])
_operator = Depends(permitted(Role.OPERATOR))

Text = Annotated[str, Field(max_length=TEXT_MAX)]
WhyText = Annotated[str, Field(min_length=1, max_length=REASON_LENGTH_MAX, pattern=r"\S")]
JobId = Annotated[str, Path(max_length=TEXT_MAX, description="Id of a job.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SagaSearch(_Body):
    """The sagas that a search finds now; the fields are those of GET /sagas. `ids`: these, and no search."""

    ids: Annotated[list[Text], Field(max_length=IDS_MAX)] = []
    flow: Text | None = None
    version: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    status: list[Status] = []
    key: Text | None = None
    id_prefix: Text = ""
    event_type: Text | None = None
    service: Text | None = None
    variant: Annotated[str, Field(pattern=VARIANT_PATTERN)] | None = None
    edge: Annotated[str, Field(max_length=3 * TEXT_MAX, pattern=EDGE_PATTERN)] | None = None
    waiting_for: Text | None = None
    error: Text = ""
    sla: Stand | None = None
    began_from: AwareDatetime | None = None
    began_until: AwareDatetime | None = None
    ended_from: AwareDatetime | None = None
    ended_until: AwareDatetime | None = None

    def wanted(self) -> Wanted:
        return Wanted(
            flow=self.flow,
            flow_version=self.version,
            statuses=frozenset(self.status),
            business_key=self.key,
            id_prefix=self.id_prefix,
            event_type=self.event_type,
            service=self.service,
            variant=self.variant,
            edge=None if self.edge is None else edge_of(self.edge),
            waiting_for=self.waiting_for,
            error=self.error,
            stand=self.sla,
            began_from_ms=_ms(self.began_from),
            began_until_ms=_ms(self.began_until),
            ended_from_ms=_ms(self.ended_from),
            ended_until_ms=_ms(self.ended_until),
        )


class LetterChoice(_Body):
    """Letters of one dead-letter topic: these, or all that have this service, type and error."""

    topic: Text
    letters: Annotated[list[Text], Field(max_length=LETTERS_MAX)] = []
    service: Text | None = None
    type: Text | None = None
    error: Text | None = None
    batch_limit: Annotated[int, Field(ge=1, le=BATCH_MAX)] = 64
    failed_max: Annotated[float, Field(ge=0, le=1)] = 0.2
    replays_max: Annotated[int, Field(ge=1, le=1_000)] = 3
    wait_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    service_for: Text | None = None


class NewCommands(_Body):
    """One action for each of these sagas. `undo`: of `cancel`, whether to undo first."""

    action: Action
    reason: WhyText
    sagas: SagaSearch
    undo: bool = True
    rate: Annotated[float, Field(ge=0.01, le=1_000, description="Sagas a second at most.")] = 20.0


class NewRedrive(_Body):
    """Dead letters go back to their topics."""

    action: Literal["redrive"]
    reason: WhyText
    letters: LetterChoice
    rate: Annotated[float, Field(ge=0.01, le=10_000, description="Letters a second at most.")] = 100.0


@router.post("", **answers(JobDocument, 400, 403, 404, 503), dependencies=[_operator])
async def begin(request: Request, context: Asked, body: NewCommands | NewRedrive) -> Response:
    """Begin a job. It goes on behind the scenes, also when the server is started anew."""
    if isinstance(body, NewCommands):
        about = {name: _words(value) for name, value in body.sagas.model_dump(exclude_defaults=True).items()}
        ids = body.sagas.ids or await context.reader.ask(
            saga_ids, body.sagas.wanted(), SAGAS_MAX + 1, context.now_ms()
        )
        if not ids:
            raise Problem(HTTPStatus.NOT_FOUND, "nothing-found", "the search finds no saga")
        if len(ids) > SAGAS_MAX:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "too-many-sagas",
                f"the search finds more than {SAGAS_MAX:,} sagas: narrow it",
            )
        what: Struct = Sagas(about if not body.sagas.ids else {}, body.undo)
    else:
        ids = []
        what = _letters(body.letters)
    job_id = str(uuid7())
    principal = await act(request, Role.OPERATOR, f"job.{body.action}", job_id, body.reason)
    job = JobRow(
        job_id,
        body.action,
        principal.name,
        body.reason,
        json.encode(what).decode(),
        body.rate,
        context.now_ms(),
    )
    store = _store(context)
    return answer(request, job_document(await context.reader.do(lambda: store.add(job, ids))))


@router.get("", **answers(JobsDocument, 503))
async def newest(
    request: Request, context: Asked, limit: Annotated[int, Query(ge=1, le=1_000)] = 50
) -> Response:
    """The newest jobs."""
    store = _store(context)
    found = await context.reader.do(lambda: store.newest(limit))
    return answer(request, JobsDocument([job_document(job) for job in found]))


@router.get("/{job_id}", **answers(JobDocument, 404, 503))
async def one(request: Request, context: Asked, job_id: JobId) -> Response:
    """How far one job is."""
    return answer(request, job_document(await _job(context, job_id)))


@router.get("/{job_id}/items", **answers(JobItemsDocument, 404, 503))
async def items(
    request: Request,
    context: Asked,
    job_id: JobId,
    state: ItemState | None = None,
    after: Annotated[int, Query(ge=-1, lt=2**63)] = -1,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Response:
    """What the sagas of a job came to. A redrive has none: its letters tell."""
    await _job(context, job_id)
    store = _store(context)
    found = await context.reader.do(lambda: store.items(job_id, after, limit + 1, state))
    shown = [item_document(item) for item in found[:limit]]
    return answer(request, JobItemsDocument(shown, shown[-1].number if len(found) > limit else None))


@router.post("/{job_id}/abort", **answers(JobDocument, 403, 404, 409, 503), dependencies=[_operator])
async def abort(request: Request, context: Asked, job_id: JobId) -> Response:
    """Have a job end behind what it is doing. What is done stays done."""
    await _job(context, job_id)
    await act(request, Role.OPERATOR, "job.abort", job_id)
    store = _store(context)
    if not await context.reader.do(lambda: store.abort(job_id, context.now_ms())):
        raise Problem(HTTPStatus.CONFLICT, "job-ended", f"job {job_id} has ended already")
    return answer(request, job_document(await _job(context, job_id)))


@router.post("/{job_id}/resume", **answers(JobDocument, 403, 404, 409, 503), dependencies=[_operator])
async def resume(request: Request, context: Asked, job_id: JobId) -> Response:
    """Have a job that was aborted or has failed go on with what is left of it."""
    await _job(context, job_id)
    await act(request, Role.OPERATOR, "job.resume", job_id)
    store = _store(context)
    if not await context.reader.do(lambda: store.resume(job_id)):
        raise Problem(HTTPStatus.CONFLICT, "job-goes-on", f"job {job_id} goes on, or nothing is left of it")
    return answer(request, job_document(await _job(context, job_id)))


async def _job(context: Context, job_id: str) -> JobRow:
    store = _store(context)
    job = await context.reader.do(lambda: store.job(job_id))
    if job is None:
        raise Problem(HTTPStatus.NOT_FOUND, "unknown-job", f"there is no job {job_id!r}")
    return job


def _store(context: Context) -> JobStore:
    return JobStore(context.reader.engine)


def _letters(choice: LetterChoice) -> Letters:
    for text in choice.letters:
        place = read_place(text)
        if place is None or place.topic != choice.topic:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "no-letter",
                f"{text!r} is no letter of {choice.topic}: name one as topic/partition/offset",
            )
    return Letters(**{**choice.model_dump(), "letters": tuple(choice.letters)})


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _ms(at: AwareDatetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)
