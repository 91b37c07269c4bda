"""Open the database of the read model, with the tables as this version needs them."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from saga.core.errors import SagaError

DATABASES = ("sqlite", "postgresql+psycopg")
_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_MS = 30_000
_CACHE_KB = 32_000
_PAGE_BYTES = 8_192
"""Several sagas lie in a page of this size: fewer pages are written for as many of them."""

_CHECKPOINT_PAGES = 8_000
"""The log of SQLite may grow to 64 MB: pages that change again and again are carried over less often."""

_MIGRATION_LOCK = 7_208_515_904_361_127
"""Any number that is ours: who holds it in PostgreSQL changes the tables, and others wait."""


class DatabaseUnavailable(SagaError):
    """The read model can't be opened. The message says why, and what to do."""


def open_model(url: str) -> Engine:
    """The database at an SQLAlchemy URL; a SQLite file is made if there is none. Blocks.

    Raises
    ------
    DatabaseUnavailable
        The URL is none of a database that can be used, the database does not answer, or its tables are
        of a later version.
    """
    engine = _engine(url)
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect().execution_options(immediate=True) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            command.upgrade(_config(connection), "heads")
    except DBAPIError as error:
        engine.dispose()
        raise DatabaseUnavailable(f"{shown} can't be used: {error.orig}") from error
    except CommandError as error:
        engine.dispose()
        raise DatabaseUnavailable(
            f"the tables of {shown} are not of this version ({error}): "
            "run a later version of saga, or name another database: it is made from Kafka"
        ) from error
    return engine


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername not in DATABASES:
            raise DatabaseUnavailable(f"a database {parsed.drivername} can't be used: {_EXAMPLES}")
        if parsed.drivername == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        # A server that was started anew, or a firewall, has closed connections that still stand in the pool.
        engine = create_engine(parsed, pool_pre_ping=parsed.drivername != "sqlite")
    except (ArgumentError, NoSuchModuleError) as error:
        raise DatabaseUnavailable(f"this is no URL of a database: {_EXAMPLES}") from error
    except ModuleNotFoundError as error:
        raise DatabaseUnavailable(
            f"{error}: `pip install 'saga-choreography[postgresql]'` brings it"
        ) from error
    except OSError as error:
        raise DatabaseUnavailable(f"no folder for {parsed.database} can be made: {error}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


_EXAMPLES = "sqlite:///data/sagas.db, or postgresql+psycopg://user:password@host/database"


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # the module would commit before each change of a table
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    # Without a sync at each commit a power cut may lose the last ones, rows and positions alike.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
