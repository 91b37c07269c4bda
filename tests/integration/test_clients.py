"""Clients of Kafka, opened and closed."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from saga.runtime.kafka import admin, producing, reader
from saga.runtime.settings import KafkaSettings
from tracker.runtime.effects import Effects

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(60)]

CLIENTS: list[Callable[[KafkaSettings], AbstractAsyncContextManager[Any]]] = [
    admin,
    producing,
    reader,
    Effects,
]
MOMENTS = 40
STEP_SECONDS = 0.0004


@pytest.mark.parametrize("client", CLIENTS, ids=["admin", "producer", "reader", "effects"])
async def test_who_is_cancelled_while_it_is_opened_leaves_no_connection_open(
    bootstrap_servers: str, client: Callable[[KafkaSettings], AbstractAsyncContextManager[Any]]
) -> None:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)

    async def opened() -> None:
        async with client(settings):
            await asyncio.Event().wait()

    for moment in range(MOMENTS):
        opening = asyncio.create_task(opened())
        await asyncio.sleep(moment * STEP_SECONDS)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    gc.collect()  # a connection that is left is told as a warning now, and warnings are errors
