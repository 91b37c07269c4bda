"""Flow files on disk."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tracker.flow.document import FILE_BYTES_MAX
from tracker.flow.parse import FlowFile, parse
from tracker.flow.problem import Problem

_ENDINGS = (".yaml", ".yml")


def flow_paths(places: Iterable[Path]) -> Iterator[Path]:
    """These files, and the YAML files that lie in these folders, sorted."""
    for place in places:
        if place.is_dir():
            yield from sorted(path for path in place.iterdir() if path.suffix in _ENDINGS and path.is_file())
        else:
            yield place


def read_flow_file(path: Path) -> FlowFile:
    """Read and parse a file; one that can't be read is a problem like any other."""
    name = str(path)
    try:
        with path.open("rb") as file:
            # No more than shows that it is too large: it may be anything.
            text = file.read(FILE_BYTES_MAX + 1).decode()
    except OSError as error:
        return _unreadable(name, f"the file can't be read: {error.strerror}")
    except UnicodeDecodeError as error:
        return _unreadable(name, f"the file is no UTF-8, from byte {error.start} on: save it as UTF-8")
    return parse(text, name)


def _unreadable(name: str, message: str) -> FlowFile:
    return FlowFile(name, "", None, None, (Problem(name, 1, 1, message),))
