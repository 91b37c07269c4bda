"""Writes the OpenAPI document of the API: `make schemas`."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from saga.runtime.settings import KafkaSettings
from tracker.access.access import Access
from tracker.access.audit import KafkaAudit
from tracker.access.settings import AccessSettings
from tracker.api.app import create_app
from tracker.api.context import Context
from tracker.view.known import Known
from tracker.view.model.access import AccessStore
from tracker.view.model.database import open_model
from tracker.view.queries.live import Live
from tracker.view.queries.reader import Reader

FILE = "openapi.json"


def openapi_text() -> str:
    """The document as it is to be written: that of an application which nobody serves."""
    with TemporaryDirectory(prefix="saga-") as folder:
        reader = Reader(open_model(f"sqlite:///{folder}/sagas.db"))
        try:
            kafka = KafkaSettings()
            settings = AccessSettings(access_users_file=Path(folder) / "users", access_oidc_issuer="")
            access = Access(settings, AccessStore(reader.engine), KafkaAudit(kafka), "127.0.0.1")
            app = create_app(Context(kafka, reader, Live(reader), Known, lambda: 0), access)
            return json.dumps(app.openapi(), indent=2) + "\n"
        finally:
            reader.close()
            reader.engine.dispose()


if __name__ == "__main__":
    (Path(sys.argv[1]) / FILE).write_text(openapi_text(), encoding="utf-8")
