"""Ask the read model from an event loop, without ever blocking it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from saga.core.errors import SagaError

THREADS = 8
"""So many questions at once: more would only wait for the processor, or for the disk."""

WAITING_MAX = 1_000

ANSWER_SECONDS = 20.0
"""PostgreSQL gives a question up that takes longer: others wait behind it."""

_CANCELED = "57014"

P = ParamSpec("P")
Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


class TooManyQuestions(SagaError):
    """More questions wait for the database than it can answer soon. Ask again later."""


class QuestionTooSlow(SagaError):
    """It takes the database too long. Ask for less: a shorter time, one flow, a smaller page."""


class ModelFailed(SagaError):
    """The database does not answer, or not this. The log says why."""


class Reader:
    """Threads, each with a connection of its own while it asks. `close` it in the end."""

    def __init__(self, engine: Engine, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.engine = engine
        self._limit = ""
        if engine.dialect.name == "postgresql":
            self._limit = f"SET LOCAL statement_timeout = {round(answer_seconds * 1000)}"
        self._threads = ThreadPoolExecutor(THREADS, "read-model")
        self._waiting = 0

    async def ask(
        self, question: Callable[Concatenate[Connection, P], Answer], *args: P.args, **kwargs: P.kwargs
    ) -> Answer:
        """What the question answers, of the database at one moment.

        Raises
        ------
        TooManyQuestions
            `WAITING_MAX` of them wait already.
        QuestionTooSlow
            It takes longer than `ANSWER_SECONDS`.
        ModelFailed
            The database does not answer, or not this.
        """

        def asked() -> Answer:
            with self.engine.connect() as connection:
                if self._limit:
                    connection.exec_driver_sql(self._limit)
                return question(connection, *args, **kwargs)

        return await self.do(asked)

    async def do(self, work: Callable[[], Answer]) -> Answer:
        """The same for work that opens its own connection."""
        if self._waiting >= WAITING_MAX:
            raise TooManyQuestions(f"{self._waiting:,} questions wait for the database: ask again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except SQLAlchemyError as error:
            if getattr(getattr(error, "orig", None), "sqlstate", "") == _CANCELED:
                _log.warning("a question was given up: %s", error)
                raise QuestionTooSlow(
                    "this takes the database too long: ask for a shorter time, one flow, or a smaller page"
                ) from error
            # What a driver says may hold the statement and its values: that is for the log alone.
            _log.error("the read model can't be asked: %s", error)
            raise ModelFailed("the read model can't be asked: the log of the server says why") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Wait for questions that are being answered; the others are given up."""
        self._threads.shutdown(cancel_futures=True)
