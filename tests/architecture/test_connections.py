"""No Kafka client is made without `connection(settings)`: it would know neither TLS nor who it is."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for package in ("saga", "tracker", "services") for path in (ROOT / package).glob("**/*.py")
)
CLIENTS = {
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "AIOKafkaAdminClient",
    "AIOKafkaClient",
    "FencedProducer",
    "App",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_client_connects_as_the_settings_say(path: Path) -> None:
    assert _careless(ast.parse(path.read_text())) == []


def test_the_clients_are_found() -> None:
    made = sum(len(_clients(ast.parse(path.read_text()))) for path in SOURCES)
    assert made >= 15


def test_the_test_finds_what_it_looks_for() -> None:
    guilty = (
        "AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)\n"
        "kafka.AIOKafkaConsumer('topic', **options)\n"
        "AIOKafkaProducer(acks='all', **connection(settings))\n"
        "faust.App('name', broker=servers)\n"
        "faust.App('name', **_broker(connection(settings)))\n"
        "AIOKafkaAdminClient(**connection(settings), bootstrap_servers='other')\n"
    )

    assert _careless(ast.parse(guilty)) == [1, 2, 4, 6]


def _careless(tree: ast.Module) -> list[int]:
    """The lines that make a client without the options of the settings, or with an address of its own."""
    return sorted(
        client.lineno
        for client in _clients(tree)
        if not any(keyword.arg is None and _is_connection(keyword.value) for keyword in client.keywords)
        or any(keyword.arg in ("bootstrap_servers", "broker") for keyword in client.keywords)
    )


def _clients(tree: ast.Module) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id in CLIENTS)
            or (isinstance(node.func, ast.Attribute) and node.func.attr in CLIENTS)
        )
    ]


def _is_connection(value: ast.expr) -> bool:
    """Whether it is `connection(...)`, or that in other words: `_broker(connection(...))`."""
    match value:
        case ast.Call(func=ast.Name(id="connection")):
            return True
        case ast.Call(func=ast.Name(id="_broker"), args=[inner]):
            return _is_connection(inner)
        case _:
            return False
