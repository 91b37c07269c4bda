"""Ports of this machine: which one is free, and is it Kafka that answers there."""

import random
import socket
import struct
from collections import deque

HOST = "127.0.0.1"

# Below the range from which Linux and macOS take ports for outgoing connections: a port from there
# could be lost between our look and the broker's bind.
FREE_FIRST, FREE_LAST = 20_000, 32_000
TRIES_MAX = 200

_given: deque[int] = deque(maxlen=1_000)
"""Those that were handed out last: nobody may listen there yet."""


def free_port() -> int:
    """A port nobody listens on; by chance, so that two who ask at once get different ones, and another one
    each time.
    """
    for _ in range(TRIES_MAX):
        port = random.randint(FREE_FIRST, FREE_LAST)
        if port not in _given and is_free(port):
            _given.append(port)
            return port
    raise OSError(f"no free port found between {FREE_FIRST} and {FREE_LAST}")


def is_free(port: int) -> bool:
    """Whether a broker could listen there."""
    if listens(port):
        return False  # macOS would let us bind one address of a port that is taken for all
    with socket.socket() as listener:
        # As the broker does: connections of a former broker that linger are no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Whether some program listens there."""
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


def broker_answers(port: int, timeout_seconds: float = 1.0) -> bool:
    """Whether a Kafka broker at the port says that it belongs to its cluster.

    It accepts connections a little before that, when clients are still told that there is no broker.
    """
    try:
        with socket.create_connection((HOST, port), timeout_seconds) as connection:
            connection.sendall(_METADATA_REQUEST)
            answer = connection.recv(12, socket.MSG_WAITALL)
    except OSError:
        return False
    if len(answer) < 12:
        return False
    brokers: int = struct.unpack(">iii", answer)[2]  # after size and correlation
    return brokers > 0


def _metadata_request() -> bytes:
    metadata, version, correlation, no_client_id, no_topics = 3, 1, 0, -1, 0
    body = struct.pack(">hhihi", metadata, version, correlation, no_client_id, no_topics)
    return struct.pack(">i", len(body)) + body


_METADATA_REQUEST = _metadata_request()
