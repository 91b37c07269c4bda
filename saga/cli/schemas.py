"""Writes the JSON Schemas of what services in other languages read and write: `make schemas`."""

import json
import sys
from pathlib import Path

from saga.core import pause, receipt


def schema_texts() -> dict[str, str]:
    """The published files by name, as they are to be written."""
    schemas = receipt.json_schemas() | pause.json_schemas()
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}


def write_schemas(folder: Path) -> None:
    """Write them all; files that are there are overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
