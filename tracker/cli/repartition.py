"""`saga repartition`: more partitions, so that more trackers can share the work."""

from typing import Annotated

import typer

from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note
from tracker.runtime.settings import TrackerSettings


def repartition(
    partitions: Annotated[int, typer.Option(min=1, help="How many there are to be; more than now.")],
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Give saga.steps and the saga table more partitions. All trackers must be stopped.

    Sagas move to where they belong by the new number, and none is lost. If it dies half-way, trackers
    refuse to start: run it again, and it goes on. The business goes on meanwhile.

    Example: saga repartition --partitions 32
    """
    run(_repartition(bootstrap_servers, partitions))


async def _repartition(bootstrap_servers: str | None, partitions: int) -> int:
    # Faust takes a second to import, and `saga --help` loads every command.
    from tracker.runtime.repartition import repartition as grow

    kafka = await connected(bootstrap_servers)
    settings = TrackerSettings().model_copy(update={"bootstrap_servers": kafka.bootstrap_servers})
    await grow(settings, partitions, note)
    return 0
