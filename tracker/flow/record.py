"""Records of the compacted topic `saga.flows`: every version of a flow that ever ran, correlation rules,
and files that can't be followed.

Their key is `order@1`; `correlations/<name>` for a rule, of which only the newest version is kept, since
no saga depends on older ones; `problems/<file>` for a file that a tracker refused.
"""

from typing import NamedTuple

from msgspec import DecodeError, Struct, json

from saga.core.errors import SagaError
from tracker.core.correlation import Rule
from tracker.core.flow import Flow
from tracker.flow.parse import FlowFile, parse
from tracker.flow.problem import Problem

FLOWS_TOPIC = "saga.flows"

_PROBLEMS = "problems/"
_CORRELATIONS = "correlations/"


class UnreadableFlow(SagaError):
    """A record of the topic is no flow. Its key names the flow, the message says what is wrong."""


class Published(Struct, frozen=True, omit_defaults=True):
    """One version of a flow, or of a rule, as it stands on the topic. `text` is that of its file.

    A retired flow begins no more sagas, and a retired rule is applied no more.
    """

    flow: str
    version: int
    text: str
    retired: bool = False


class Version(NamedTuple):
    """What became of the text of a version."""

    file: FlowFile
    retired: bool


class Refused(Struct, frozen=True):
    """A file that a tracker has in its folder and does not follow."""

    file: str
    problems: tuple[Problem, ...]


def flow_key(name: str, version: int) -> str:
    """`order@1`."""
    return f"{name}@{version}"


def rule_key(name: str) -> str:
    """`correlations/legacy`."""
    return _CORRELATIONS + name


def problems_key(file: str) -> str:
    """The key under which the problems of a file stand."""
    return _PROBLEMS + file


def encode_flow(flow: Flow, *, retired: bool = False) -> bytes:
    """The value for a flow."""
    return json.encode(Published(flow.name, flow.version, flow.source, retired))


def encode_rule(rule: Rule, *, retired: bool = False) -> bytes:
    """The value for a rule."""
    return json.encode(Published(rule.name, rule.version, rule.source, retired))


def encode_refused(file: str, problems: tuple[Problem, ...]) -> bytes:
    """The value for a file with problems."""
    return json.encode(Refused(file, problems))


def decode_record(key: str, value: bytes) -> Version | Refused:
    """What a record says: a version with the problems of its text, if it has any, or a refused file.

    Raises
    ------
    UnreadableFlow
        The value is neither.
    """
    try:
        if key.startswith(_PROBLEMS):
            return json.decode(value, type=Refused)
        published = json.decode(value, type=Published)
    except (DecodeError, UnicodeDecodeError) as error:
        raise UnreadableFlow(f"{key}: no record of a flow: {error}") from error
    file = parse(published.text, key)
    other = _own_key(file)
    if other not in ("", key):
        raise UnreadableFlow(f"{key}: its text is that of {other}")
    return Version(file, published.retired)


def _own_key(file: FlowFile) -> str:
    """The key under which it belongs; "" where it can't be read."""
    if file.rule is not None:
        return rule_key(file.rule.name)
    return "" if file.flow is None else flow_key(file.flow.name, file.flow.version)
