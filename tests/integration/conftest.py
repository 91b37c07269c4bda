"""What tests on a real Kafka share."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from saga.local import LocalKafka


@pytest.fixture
def broker(kafka: LocalKafka) -> Iterator[LocalKafka]:
    """A broker of the test's own: the tracker's topics and groups have fixed names.

    `kafka` decides about skipping.
    """
    with LocalKafka() as broker:
        yield broker


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
