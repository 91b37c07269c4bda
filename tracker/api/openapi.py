"""The OpenAPI document: FastAPI knows the parameters, msgspec what the answers look like."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import json

from tracker.api.answer import PROBLEM
from tracker.api.dead_letters import TreatmentDocument
from tracker.api.problem import ProblemDocument
from tracker.jobs.document import JobDocument, JobItemsDocument, JobsDocument
from tracker.view.documents.command import CommandAnswer
from tracker.view.documents.flow import FunnelDocument, MapDocument, VariantsDocument
from tracker.view.documents.freshness import FreshnessDocument
from tracker.view.documents.health import HealthDocument
from tracker.view.documents.orphans import OrphansDocument
from tracker.view.documents.payload import PayloadDocument
from tracker.view.documents.saga import SagaDocument
from tracker.view.documents.undo import PlanDocument
from tracker.view.documents.watch import WatchDocument
from tracker.view.letters import LetterDocument
from tracker.view.queries.attention import SagaList
from tracker.view.queries.dead_letters import LetterGroups, LetterPage
from tracker.view.queries.feeds import AlertsPage, AuditPage, CommandsPage
from tracker.view.queries.flows import FlowsDocument, HistoryDocument
from tracker.view.queries.named import NamedSagas
from tracker.view.queries.sagas import SagaPage
from tracker.view.queries.services import EventTypeDocument, EventTypesDocument, ServicesDocument
from tracker.view.queries.versions import VersionsDocument

DOCUMENTS = (
    ProblemDocument,
    SagaPage,
    SagaDocument,
    SagaList,
    WatchDocument,
    NamedSagas,
    FlowsDocument,
    VersionsDocument,
    HistoryDocument,
    FunnelDocument,
    MapDocument,
    VariantsDocument,
    PlanDocument,
    OrphansDocument,
    HealthDocument,
    PayloadDocument,
    CommandAnswer,
    ServicesDocument,
    EventTypesDocument,
    EventTypeDocument,
    AlertsPage,
    CommandsPage,
    AuditPage,
    FreshnessDocument,
    LetterGroups,
    LetterPage,
    LetterDocument,
    TreatmentDocument,
    JobDocument,
    JobsDocument,
    JobItemsDocument,
)
"""What answers consist of."""

_REF = "#/components/schemas/{name}"


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The document of this application."""
    document: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, schemas = json.schema_components(DOCUMENTS, ref_template=_REF)
    document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    # FastAPI has a form of its own for a refused request: ours are problems.
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for item in document["paths"].values():
        for operation in item.values():
            if "422" in operation["responses"]:
                operation["responses"]["422"] = PROBLEM
    return document
