"""The jars of Apache Kafka: pinned in `kafka.lock`, downloaded once into the user's cache folder."""

import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests
from jgo.maven import MavenContext, PythonResolver

from saga.local.download import download_bar
from saga.local.errors import JarsUnavailable

KAFKA_VERSION = "4.3.0"
LOCK = Path(__file__).with_name("kafka.lock")
DOWNLOADS_MAX = 6  # at the same time
TRIES_MAX = 2  # what came in the first try is kept


@dataclass(frozen=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def classpath() -> str:
    """Apache Kafka's jars as Java's `-cp` wants them, downloaded first if the cache lacks any.

    Blocks while they come down, and while another process downloads them. Without a download it
    costs a `stat` per jar and no network. Raises `JarsUnavailable`.
    """
    folder = kafka_cache()
    jars = locked_jars()
    if _missing(jars, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with only_one_process(folder / ".lock"):
                _download_missing(jars, folder)
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors, jgo's RuntimeErrors
            raise _unavailable(folder, error) from error
    return os.pathsep.join(str(folder / jar.name) for jar in jars)


def kafka_cache() -> Path:
    """Folder of the jars of this Kafka version, and of what is made from them."""
    return _cache() / f"kafka-{KAFKA_VERSION}"


def locked_jars() -> list[Jar]:
    """The lines of the lock file."""
    lines = (line.split() for line in LOCK.read_text().splitlines() if not line.startswith("#"))
    return [_jar(*line) for line in lines]


@contextmanager
def only_one_process(lock: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same lock file."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released by close, and by any death
        yield


def _cache() -> Path:
    # SAGA_CACHE, or `saga` in the platform's folder for caches.
    if own := os.environ.get("SAGA_CACHE"):
        return Path(own).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "saga"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saga"


def _jar(coordinate: str, sha256: str, size: str) -> Jar:
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256, int(size))


def _missing(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    # Only whole and checked jars are moved into the folder; the size catches a full disk's doings.
    def present(file: Path, size_bytes: int) -> bool:
        return file.is_file() and file.stat().st_size == size_bytes

    return [jar for jar in jars if not present(folder / jar.name, jar.size_bytes)]


def _download_missing(jars: Sequence[Jar], folder: Path) -> None:
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            if missing := _missing(jars, folder):  # none if another process was faster
                _download(missing, folder)
            return
        except (OSError, RuntimeError):
            if not tries_left:
                raise


def _download(jars: Sequence[Jar], folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as staging,
        download_bar(f"Apache Kafka {KAFKA_VERSION}", sum(jar.size_bytes for jar in jars)) as bar,
        ThreadPoolExecutor(DOWNLOADS_MAX) as pool,
    ):
        # jgo asks for the callback a context manager per file; all of them feed one bar.
        resolver = PythonResolver(progress_callback=lambda _name, _size: bar())
        maven = MavenContext(resolver, repo_cache=Path(staging), remote_repos=_repositories())
        for _ in pool.map(partial(_fetch, maven, folder), jars):
            pass


def _fetch(maven: MavenContext, folder: Path, jar: Jar) -> None:
    component = maven.project(jar.group, jar.artifact).at_version(jar.version)
    file = component.artifact().resolve()
    if hashlib.sha256(file.read_bytes()).hexdigest() != jar.sha256:
        raise RuntimeError(f"{jar.name} is not the file that {LOCK.name} names (other sha256)")
    file.replace(folder / jar.name)


def _repositories() -> dict[str, str] | None:
    mirror = os.environ.get("SAGA_MAVEN_REPOSITORY")
    return {"mirror": mirror} if mirror else None


def _unavailable(folder: Path, error: Exception) -> JarsUnavailable:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, requests.ConnectionError):
        reason = "the Maven repository can't be reached"
    return JarsUnavailable(
        f"Apache Kafka {KAFKA_VERSION} can't be downloaded to {folder}: {reason}.\n"
        "With a network it comes by itself, once (45 MB); SAGA_MAVEN_REPOSITORY names a mirror of "
        "Maven Central, SAGA_CACHE another folder that has the jars.\n"
        "Without: run `docker compose up`, or name a Kafka that you have with --bootstrap-servers."
    )
