"""Topics without our headers on a real Kafka: a CSV file goes in as plain JSON, and comes out as sagas.

The tracker's variants, directly-follows counts and durations are compared with those of the rows, and for
the logs in tests/data with the figures that process mining finds in them.
"""

import asyncio
import csv
import json
import os
import random
import signal
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaConsumer, TopicPartition, partition_counts
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process
from tests.ocel_schema import check_ocel
from tests.waiting import until
from tracker.core.discovery import DirectlyFollows, Variants, in_order, trace
from tracker.core.errors import NothingTracked
from tracker.core.saga import Saga, decode_saga
from tracker.view.changelog import open_changelog

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

COMMAND = Path(sys.executable).with_name("saga")
LOGS = Path(__file__).parents[1] / "data"
WITHIN_SECONDS = 60
PARTITIONS = 4
RULE = """\
correlate: cases
version: 1
topics: cases
saga: {path: "$['case:concept:name']"}
type: {path: "$['concept:name']"}
time: {path: "$['time:timestamp']"}
source: {value: town hall}
"""


class Figures(NamedTuple):
    """What process miners ask of a log. Durations in seconds, from the first to the last event of a case."""

    sagas: int
    events: int
    variants: Counter[tuple[str, ...]]
    follows: Counter[tuple[str, str]]
    durations: dict[str, float]


def of_rows(path: Path) -> Figures:
    """By the file alone; nothing here is the tracker's."""
    cases: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["time:timestamp"])
            cases[row["case:concept:name"]].append((at, row["concept:name"]))
    for events in cases.values():
        events.sort(key=lambda event: event[0])  # keeps the order of the file within a moment
    ways = [tuple(name for _, name in events) for events in cases.values()]
    return Figures(
        len(cases),
        sum(map(len, ways)),
        Counter(ways),
        Counter(pair for way in ways for pair in pairwise(way)),
        {case: (events[-1][0] - events[0][0]).total_seconds() for case, events in cases.items()},
    )


def of_sagas(sagas: dict[str, Saga]) -> Figures:
    """By what the tracker has written and how it discovers."""
    traces = {saga.id: trace(saga) for saga in sagas.values()}
    variants, follows = Variants(), DirectlyFollows()
    for saga in sagas.values():
        variants.add(traces[saga.id])
        follows.add([seen.type for seen in in_order(saga)])
    return Figures(
        variants.sagas,
        sum(len(saga.steps) for saga in sagas.values()),
        Counter({variant.types: variant.sagas for variant in variants.listed()}),
        Counter(dict(follows.pairs.items())),
        {saga_id: went.took_ms / 1000 for saga_id, went in traces.items()},
    )


class Tracked:
    """A broker of the test's own, and a tracker that knows the rule."""

    def __init__(self, servers: str, folder: Path) -> None:
        self.servers = servers
        self.folder = folder
        self.flows = folder / "flows"
        self.flows.mkdir()
        (self.flows / "cases.yaml").write_text(RULE)
        self.tracker = Process(
            ["saga.cli", "track", "--flows", str(self.flows)],
            {
                "SAGA_BOOTSTRAP_SERVERS": servers,
                "SAGA_STATE_DIR": str(folder / "state"),
                "SAGA_SOURCES_INTERVAL_MS": "200",
            },
            folder / "tracker.log",
        )

    def saga(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments, "--bootstrap-servers", self.servers],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "COLUMNS": "200"},
        )

    def imported(self, path: Path, *arguments: str) -> None:
        told = self.saga("import", str(path), "--topic", "cases", "--partitions", str(PARTITIONS), *arguments)
        assert told.returncode == 0, told.stderr
        assert f"went to cases, {PARTITIONS} partitions" in told.stderr

    def sagas(self) -> dict[str, Saga]:
        """The saga table."""
        return asyncio.run(self._sagas())

    async def _sagas(self) -> dict[str, Saga]:
        found: dict[str, Saga] = {}
        try:
            async with open_changelog(KafkaSettings(bootstrap_servers=self.servers)) as changelog:
                async for changes in changelog.to_end():
                    for change in changes:
                        assert change.value is not None
                        found[change.saga] = decode_saga(change.value)
        except NothingTracked:
            pass
        return found

    def complete(self, events: int) -> dict[str, Saga]:
        """The saga table, once it holds so many events."""
        latest: dict[str, Saga] = {}

        def all_there() -> bool:
            nonlocal latest
            assert self.tracker.running.poll() is None, "the tracker has ended"
            latest = self.sagas()
            return sum(len(saga.steps) for saga in latest.values()) >= events

        until(all_there, WITHIN_SECONDS, what=f"{events} events")
        return latest


@pytest.fixture
def tracked(kafka: LocalKafka, tmp_path: Path) -> Iterator[Tracked]:
    with LocalKafka() as broker:
        broker.start()
        running = Tracked(broker.bootstrap_servers, tmp_path)
        try:
            yield running
        finally:
            running.tracker.end()
            print(running.tracker.output()[-10_000:])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """300 cases side by side, in any order, in two time zones, some events at the same moment."""
    chance = random.Random(5)
    begin = datetime(2011, 10, 11, 11, 45, 40, 276_000, UTC)
    rows = []
    for case in range(300):
        at = begin + timedelta(minutes=case)
        for number in range(chance.randint(1, 12)):
            zone = chance.choice([UTC, timezone(timedelta(hours=2))])
            rows.append(
                (at + timedelta(microseconds=number), case, at.astimezone(zone), chance.choice("ABCDÉ"))
            )
            at += timedelta(milliseconds=chance.choice([0, 1, 90_000]))
    # Cases side by side. Within a moment of one case the order of the file counts, and stays.
    rows.sort(key=lambda row: (row[1] % 7, row[0]))
    path = tmp_path / "cases.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case:concept:name", "concept:name", "time:timestamp", "note"])
        for _, case, at, name in rows:
            writer.writerow(
                [f"case-{case}", f"{name}, done", at.isoformat(sep=" "), 'with "quotes"\nand lines']
            )
    return path


async def records(servers: str) -> list[tuple[int, bytes | None, bytes, object]]:
    """Partition, key, value and headers of all records."""
    partitions = [TopicPartition("cases", number) for number in range(PARTITIONS)]
    found: list[tuple[int, bytes | None, bytes, object]] = []
    async with AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        left = sum((await consumer.end_offsets(partitions)).values())
        while len(found) < left:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += [(record.partition, record.key, record.value, record.headers) for record in batch]
    return found


async def written_to(servers: str) -> int:
    """How many records the topic has; none if it does not exist."""
    counts = await partition_counts(KafkaSettings(bootstrap_servers=servers), ["cases"])
    partitions = [TopicPartition("cases", number) for number in range(counts.get("cases", 0))]
    if not partitions:
        return 0
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        return sum((await consumer.end_offsets(partitions)).values())


def test_rows_without_headers_become_the_sagas_of_their_cases(tracked: Tracked, log: Path) -> None:
    expected = of_rows(log)
    tracked.imported(log, "--key", "case:concept:name")
    written = asyncio.run(records(tracked.servers))
    assert {partition for partition, *_ in written} == set(range(PARTITIONS))
    assert all(not headers for *_, headers in written)
    assert {key for _, key, *_ in written} == {case.encode() for case in expected.durations}
    assert json.loads(written[0][2])["note"] == 'with "quotes"\nand lines'

    tracked.tracker.start()
    assert of_sagas(tracked.complete(expected.events)) == expected
    shown = tracked.saga("show", "case-7")
    assert "town hall" in shown.stdout, shown.stderr
    listed = tracked.saga("flows")
    assert listed.stdout.split() == ["RULE", "VERSION", "STATE", "TOPICS", "cases", "1", "applied", "cases"]


def test_an_import_that_is_interrupted_says_how_many_rows_are_in(tracked: Tracked, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("a,b\n" + "1,2\n" * 1_000_000)
    with subprocess.Popen(
        [COMMAND, "import", str(path), "--topic", "cases", "--bootstrap-servers", tracked.servers],
        stderr=subprocess.PIPE,
        text=True,
    ) as importing:
        try:
            until(lambda: asyncio.run(written_to(tracked.servers)) > 0, WITHIN_SECONDS, what="rows in Kafka")
            importing.send_signal(signal.SIGINT)
            _, told = importing.communicate(timeout=WITHIN_SECONDS)
        finally:
            importing.kill()

    assert importing.returncode == 130, told
    count = asyncio.run(written_to(tracked.servers))
    assert 0 < count < 1_000_000
    assert f"saga: stopped: {count:,} rows of {path} are in cases. " in told


@pytest.mark.parametrize(
    ("name", "key", "begins"),
    [
        ("receipt", [], "Confirmation of receipt"),
        ("receipt", ["--key", "case:concept:name"], "Confirmation of receipt"),
        ("running-example", [], "register request"),
    ],
)
def test_a_log_gives_the_figures_that_process_mining_gives(
    tracked: Tracked, name: str, key: list[str], begins: str
) -> None:
    path = LOGS / f"{name}.csv"
    expected = json.loads((LOGS / f"{name}.expected.json").read_text())
    tracked.tracker.start()
    tracked.imported(path, *key)

    found = of_sagas(tracked.complete(expected["events"]))
    assert found == of_rows(path)
    assert (found.sagas, found.events) == (expected["sagas"], expected["events"])
    assert len(found.variants) == expected["variants"]
    assert len({name for way in found.variants for name in way}) == expected["event_types"]
    for variant in expected["top_variants"]:
        assert found.variants[tuple(variant["path"])] == variant["count"]
    for follow in expected["directly_follows"]:
        assert found.follows[follow["a"], follow["b"]] == follow["count"]
    durations = sorted(found.durations.values())
    assert {
        "median": statistics.median(durations),
        "p95": durations[round(0.95 * (len(durations) - 1))],  # the nearest rank, as in the expected figures
        "max": durations[-1],
    } == pytest.approx(expected["duration_seconds"], rel=1e-12)

    told = json.loads(tracked.saga("variants", begins, "--limit", "0", "--json").stdout)
    of_begin = {way: count for way, count in found.variants.items() if way[0] == begins}
    assert {tuple(each["types"]): each["sagas"] for each in told["variants"]} == of_begin

    assert_exported(tracked, path, expected["events"])


def assert_exported(tracked: Tracked, path: Path, count: int) -> None:
    """What went in as rows comes out as a log: each case with the same events at the same times."""
    kinds = {"csv": tracked.folder / "log.csv", "xes": tracked.folder / "log.xes"}
    for kind, file in kinds.items():
        told = tracked.saga("export", "--format", kind, "-o", str(file))
        assert told.returncode == 0, told.stderr
        assert f" sagas went to {file}" in told.stderr

    assert of_rows(kinds["csv"]) == of_rows(path)
    assert moments(kinds["csv"]) == moments(path)
    log = ElementTree.parse(kinds["xes"]).getroot()
    assert len(log.findall(".//{*}event")) == count
    ocel = json.loads(tracked.saga("export").stdout)
    check_ocel(ocel)
    assert len(ocel["events"]) == count

    one = moments(path)[0][0]
    alone = list(csv.DictReader(tracked.saga("export", one, "--format", "csv").stdout.splitlines()))
    assert {row["case:concept:name"] for row in alone} >= {one}
    none = tracked.saga("export", "no-such-case")
    assert (none.returncode, none.stderr) == (1, "no saga is like that\n")


def moments(path: Path) -> list[tuple[str, str, datetime]]:
    """Case, activity and time of every row."""
    with path.open(newline="", encoding="utf-8") as file:
        return sorted(
            (row["case:concept:name"], row["concept:name"], datetime.fromisoformat(row["time:timestamp"]))
            for row in csv.DictReader(file)
        )
