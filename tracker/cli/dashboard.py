"""`saga dashboard`: the API and the pages, until Ctrl-C."""

import asyncio
import time
from typing import Annotated

import typer

from saga.runtime.garbage import calm_garbage_collector
from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note


def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8080,
    database: Annotated[
        str | None,
        typer.Option(
            help="URL of the read model: a SQLite file, or PostgreSQL. Without it sqlite:///data/sagas.db.",
            envvar="SAGA_DATABASE",
        ),
    ] = None,
    no_project: Annotated[
        bool, typer.Option("--no-project", help="`saga project` keeps the read model up to date elsewhere.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Serve the pages, and the REST API behind them: every question about every saga.

    Keeps its read model up to date as well, unless told not to.

    Example: saga dashboard --port 8080
    """
    run(_dashboard(bootstrap_servers, host, port, database, not no_project))


async def _dashboard(
    bootstrap_servers: str | None, host: str, port: int, database: str | None, project: bool
) -> int:
    # FastAPI and SQLAlchemy take their time to import, and `saga --help` loads every command.
    from tracker.access.access import Access
    from tracker.access.audit import KafkaAudit
    from tracker.access.settings import AccessSettings
    from tracker.api.app import create_app
    from tracker.api.context import Context
    from tracker.api.server import serve
    from tracker.dashboard.app import mount_pages
    from tracker.dashboard.settings import PageSettings
    from tracker.health import follow_tracker
    from tracker.jobs.runner import running_jobs
    from tracker.runtime.supervision import stopped_by_signals
    from tracker.standstill import telling_standstills
    from tracker.view.known_now import known_now
    from tracker.view.model.access import AccessStore
    from tracker.view.model.database import open_model
    from tracker.view.model.jobs import JobStore
    from tracker.view.projector.figures import ProjectorFigures
    from tracker.view.projector.projector import GARBAGE_OBJECTS, run_projector
    from tracker.view.projector.settings import ProjectorSettings
    from tracker.view.queries.live import Live
    from tracker.view.queries.reader import Reader

    kafka = await connected(bootstrap_servers)
    given = {"bootstrap_servers": kafka.bootstrap_servers, "database": database}
    settings = ProjectorSettings().model_copy(update={k: v for k, v in given.items() if v is not None})
    stop = stopped_by_signals()
    reader = Reader(await asyncio.to_thread(open_model, settings.database))
    live, figures = Live(reader), ProjectorFigures()
    told = "saga dashboard · {} · Ctrl-C ends it"
    try:
        access = Access(AccessSettings(), AccessStore(reader.engine), KafkaAudit(kafka), host)
        async with (
            known_now(kafka) as known,
            running_jobs(kafka, JobStore(reader.engine)),
            telling_standstills(settings, reader, known, figures),
            asyncio.TaskGroup() as tasks,
        ):
            context = Context(kafka, reader, live, known, lambda: time.time_ns() // 1_000_000)
            if project:
                projecting = tasks.create_task(
                    run_projector(
                        settings, reader.engine, stop, figures=figures, follow_tracker=follow_tracker
                    )
                )
                projecting.add_done_callback(lambda _: stop.set())
            app = create_app(context, access)
            mount_pages(app, context, PageSettings())
            calm_garbage_collector(GARBAGE_OBJECTS)
            try:
                await serve(app, live, host, port, lambda url: note(told.format(url)), stop)
            finally:
                stop.set()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    finally:
        reader.close()
        reader.engine.dispose()
    return 0
