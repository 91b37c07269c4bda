"""How the jars come: from a Maven repository on this machine, which serves what the cache holds."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from saga.local import JarsUnavailable
from saga.local.jars import Jar, classpath, kafka_cache, locked_jars
from saga.local.port import HOST, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("kafka")]

CLASSPATH = "from saga.local.jars import classpath; print(classpath())"


class Repository(ThreadingHTTPServer):
    """A Maven repository of the locked jars, which counts what is asked of it."""

    def __init__(self, content: Callable[[Jar], bytes]) -> None:
        super().__init__((HOST, 0), Answer)
        self.content = content
        self.asked: Counter[str] = Counter()
        self.jars = {
            f"/{jar.group.replace('.', '/')}/{jar.artifact}/{jar.version}/{jar.name}": jar
            for jar in locked_jars()
        }

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        jar = self.server.jars.get(self.path)
        if jar is None:
            self.send_error(404)
            return
        self.server.asked[jar.name] += 1
        body = self.server.content(jar)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository with the real jars, and an empty cache that is filled from it."""
    source = kafka_cache()
    with Repository(lambda jar: (source / jar.name).read_bytes()) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        monkeypatch.setenv("SAGA_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("SAGA_MAVEN_REPOSITORY", server.address)
        yield server
        server.shutdown()


def test_two_processes_that_need_the_jars_at_once_download_them_once(repository: Repository) -> None:
    asking = [
        subprocess.Popen([sys.executable, "-c", CLASSPATH], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate(timeout=60)[0].strip() for process in asking}
    assert answers == {classpath()}
    assert set(repository.asked.values()) == {1}
    assert len(repository.asked) == len(locked_jars())
    assert all(Path(jar).is_file() for jar in classpath().split(":"))


def test_a_lost_jar_is_the_only_one_that_comes_again(repository: Repository) -> None:
    lost = Path(classpath().split(":")[0])
    lost.unlink()
    repository.asked.clear()
    classpath()
    assert dict(repository.asked) == {lost.name: 1}


def test_nothing_is_asked_when_the_jars_are_there(repository: Repository) -> None:
    classpath()
    repository.asked.clear()
    classpath()
    assert not repository.asked


def test_a_download_that_breaks_leaves_what_came_and_goes_on_later(repository: Repository) -> None:
    whole, broken = repository.content, locked_jars()[7]
    repository.content = lambda jar: whole(jar)[:-1] if jar == broken else whole(jar)
    with pytest.raises(JarsUnavailable, match="sha256"):
        classpath()
    assert not (kafka_cache() / broken.name).exists()
    repository.content = whole
    classpath()


def test_jars_that_nobody_has_name_the_ways_out(repository: Repository) -> None:
    repository.jars.clear()
    with pytest.raises(JarsUnavailable, match=r"docker compose up(.|\n)*--bootstrap-servers"):
        classpath()


def test_no_network_is_said_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_CACHE", str(tmp_path))
    monkeypatch.setenv("SAGA_MAVEN_REPOSITORY", f"http://{HOST}:{free_port()}")
    with pytest.raises(JarsUnavailable, match=r"can't be reached(.|\n)*docker compose up"):
        classpath()


def test_a_cache_that_is_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAGA_CACHE", str(tmp_path / "file"))
    with pytest.raises(JarsUnavailable, match="file"):
        classpath()
