"""Writes the JSON Schemas of what the tracker reads of operators and tells the world: `make schemas`."""

import json
import sys
from pathlib import Path

from tracker.core.cloudevent import json_schemas


def schema_texts() -> dict[str, str]:
    """The published files by name, as they are to be written."""
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in json_schemas().items()}


def write_schemas(folder: Path) -> None:
    """Write them all; files that are there are overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
