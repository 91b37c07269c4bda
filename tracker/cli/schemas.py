"""Writes the JSON Schemas of what the tracker reads and what it tells the world: `make schemas`."""

import json
import sys
from pathlib import Path

from tracker.core import cloudevent
from tracker.flow import schema


def schema_texts() -> dict[str, str]:
    """The published files by name, as they are to be written."""
    schemas = {**cloudevent.json_schemas(), **schema.json_schemas()}
    return {name: json.dumps(content, indent=2) + "\n" for name, content in schemas.items()}


def write_schemas(folder: Path) -> None:
    """Write them all; files that are there are overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
