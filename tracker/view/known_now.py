"""The services and flows of this moment, kept up to date beside the read model."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from saga.core.errors import SagaError
from saga.runtime.kafka import KafkaError
from saga.runtime.settings import KafkaSettings
from tracker.alongside import alongside
from tracker.view.known import Known, read_known

EVERY_SECONDS = 5.0

_log = logging.getLogger(__name__)


class KnownNow:
    """What `following` keeps up to date; call it to have it."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def __call__(self) -> Known:
        return self._known

    async def follow(self, settings: KafkaSettings) -> None:
        """Read again and again until it is cancelled; while Kafka does not answer the last stays."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                known = await read_known(settings)
            except Exception as error:  # should this loop end, the pages would show old services for ever
                known_error = isinstance(error, SagaError | KafkaError)
                _log.warning("services and flows can't be read: %s", error, exc_info=not known_error)
                continue
            # Maps that were made of it are kept as long as nothing changes.
            if not known.same(self._known) or known.announcements != self._known.announcements:
                self._known = known


@contextlib.asynccontextmanager
async def known_now(settings: KafkaSettings) -> AsyncIterator[KnownNow]:
    """The services and flows of a Kafka, as long as the block lasts."""
    now = KnownNow(await read_known(settings))
    async with alongside(now.follow(settings)):
        yield now
