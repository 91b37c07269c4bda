"""`saga project`: the read model kept up to date, until Ctrl-C."""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from saga.core.errors import SagaError
from saga.runtime.garbage import calm_garbage_collector
from tracker.alongside import alongside
from tracker.cli.connection import BootstrapServers
from tracker.cli.progress import progress
from tracker.runtime.log import configure_logging
from tracker.runtime.supervision import stopped_by_signals
from tracker.view.projector.figures import ProjectorFigures
from tracker.view.projector.settings import ProjectorSettings

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2


def project(
    database: Annotated[
        str | None,
        typer.Option(
            help="URL of the database: a SQLite file, or PostgreSQL. Without it sqlite:///data/sagas.db.",
            envvar="SAGA_DATABASE",
        ),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make it anew from Kafka first, then go on.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log why it begins again.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Keep every saga, alert and dead letter in a database, for the dashboard to search.

    Runs until Ctrl-C. Start it twice, and the second one takes over when the first is gone; stop it, and
    it catches up later.

    Example: saga project --database postgresql+psycopg://saga@db/sagas
    """
    configure_logging(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    given = {"bootstrap_servers": bootstrap_servers, "database": database}
    settings = ProjectorSettings().model_copy(update={k: v for k, v in given.items() if v is not None})
    try:
        asyncio.run(_serve(settings, rebuild))
    except SagaError as error:
        logger.critical("%s", error)
        raise typer.Exit(1) from error
    logger.info("stopped")


async def _serve(settings: ProjectorSettings, rebuild: bool) -> None:
    # SQLAlchemy takes its time to import, and `saga --help` loads every command.
    from tracker.health import follow_tracker
    from tracker.runtime.endpoint import Endpoint
    from tracker.runtime.metrics import Plain, PlainMetrics
    from tracker.standstill import telling_standstills
    from tracker.view.model.database import open_model
    from tracker.view.projector.projector import GARBAGE_OBJECTS, run_projector
    from tracker.view.queries.reader import Reader

    calm_garbage_collector(GARBAGE_OBJECTS)
    stop = stopped_by_signals()
    figures = ProjectorFigures()
    metrics = PlainMetrics(lambda: [Plain(*one) for one in figures.metrics(time.time())])
    engine = await asyncio.to_thread(open_model, settings.database)
    reader = Reader(engine)
    try:
        async with (
            Endpoint(settings.metrics_host, settings.metrics_port, metrics, figures.unready),
            telling_standstills(settings, reader, lambda: figures.known, figures),
            alongside(_show_building(figures)),
        ):
            await run_projector(
                *(settings, engine, stop), rebuild=rebuild, figures=figures, follow_tracker=follow_tracker
            )
    finally:
        reader.close()
        engine.dispose()


async def _show_building(figures: ProjectorFigures) -> None:
    """A bar as long as the read model is made from the beginning."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if not figures.building:
            continue
        with progress("reading all sagas", figures.said.build_records) as told, _logging_above():
            while figures.building:
                told(figures.said.built_records)
                await asyncio.sleep(_LOOK_SECONDS)


@contextlib.contextmanager
def _logging_above() -> Iterator[None]:
    """Lines of the log go above the bar, and not into it."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, logging.StreamHandler)]
    before = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            if stream is not None:
                handler.setStream(stream)
