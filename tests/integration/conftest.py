"""What tests on a real Kafka share."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from sqlalchemy import Engine

from saga.local import LocalKafka
from tests.databases import DATABASES, database
from tracker.view.model.database import open_model


@pytest.fixture
def broker(kafka: LocalKafka) -> Iterator[LocalKafka]:
    """A broker of the test's own: the tracker's topics and groups have fixed names.

    `kafka` decides about skipping.
    """
    with LocalKafka() as broker:
        yield broker


@pytest.fixture(scope="module", params=DATABASES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty read model, in each of the databases."""
    with database(request.param) as url:
        engine = open_model(url)
        yield engine
        engine.dispose()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
