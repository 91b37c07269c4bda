"""Write down what people do, before it is done."""

import asyncio
import json as text_json
import logging
from typing import Protocol

from msgspec import json, to_builtins
from uuid_utils import uuid7

from saga.core.errors import KafkaUnavailable
from saga.runtime.connection import connection
from saga.runtime.kafka import AIOKafkaProducer, KafkaError, Topic, ensure_topics, started
from saga.runtime.settings import KafkaSettings
from tracker.access.errors import AuditUnavailable
from tracker.core.audit import AUDIT_TOPIC, AuditRecord, Outcome

WAIT_SECONDS = 5.0
FIELD_LENGTH_MAX = 2_000
_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}

logger = logging.getLogger(__name__)


class AuditLog(Protocol):
    """Where records go."""

    async def write(self, record: AuditRecord) -> None:
        """Returns when the record is safe.

        Raises
        ------
        AuditUnavailable
            It may not be; what it is about must not be done.
        """

    async def close(self) -> None:
        """No more will come."""


def audit_record(
    at_ms: int,
    by: str,
    role: str,
    action: str,
    object: str = "",
    reason: str = "",
    address: str = "local",
    outcome: Outcome = "allowed",
) -> AuditRecord:
    """A record with an id of its own; texts that are too long are cut."""
    # Lone surrogates, which a request can have, are no text that can be written.
    by, role, action, object, reason, address = (
        part.encode("utf-8", "replace").decode()[:FIELD_LENGTH_MAX]
        for part in (by, role, action, object, reason, address)
    )
    return AuditRecord(str(uuid7()), at_ms, by, role, action, object, reason, address, outcome)


def audit_line(record: AuditRecord) -> str:
    """One line of plain ASCII, whatever names and reasons have in them."""
    return text_json.dumps(to_builtins(record), ensure_ascii=True)


class KafkaAudit:
    """Records on `saga.audit`, and in the log of the process."""

    def __init__(self, settings: KafkaSettings, wait_seconds: float = WAIT_SECONDS) -> None:
        self._settings = settings
        self._wait_seconds = wait_seconds
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def write(self, record: AuditRecord) -> None:
        """See `AuditLog.write`."""
        logger.info("audit %s", audit_line(record))
        try:
            async with asyncio.timeout(self._wait_seconds):
                producer = await self._started()
                await producer.send_and_wait(AUDIT_TOPIC, json.encode(record), key=record.by.encode())
        except (KafkaError, KafkaUnavailable, TimeoutError, OSError) as error:
            why = str(error) or f"no answer within {self._wait_seconds:g} s"
            logger.warning("audit: %s was not written: %s", record.id, why)
            self._give_up()
            raise AuditUnavailable(
                f"{AUDIT_TOPIC} does not take the record ({why}), so nothing was done: "
                "try again when Kafka answers"
            ) from error

    async def close(self) -> None:
        """See `AuditLog.close`."""
        self._give_up()
        await asyncio.gather(*self._ending)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                # One partition: the order of records is the order of what was done.
                await ensure_topics(self._settings, [Topic(AUDIT_TOPIC, 1, _FOR_EVER)])
                self._producer = await started(
                    AIOKafkaProducer(
                        **connection(self._settings),
                        acks="all",
                        enable_idempotence=True,
                        request_timeout_ms=round(self._wait_seconds * 1000),
                    )
                )
            return self._producer

    def _give_up(self) -> None:
        """One that has failed once may have lost count of its records: the next record gets a new one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            task = asyncio.create_task(_stopped(producer))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


async def _stopped(producer: AIOKafkaProducer) -> None:
    try:
        await producer.stop()
    except KafkaError as error:
        logger.debug("the producer of the audit log ended: %s", error)
