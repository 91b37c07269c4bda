"""What the CLI says of the same things, to hold pages against it."""

import subprocess
import sys
from typing import Any

from msgspec import json

SECONDS_MAX = 120


def told(*arguments: str) -> Any:
    """What `saga ARGUMENTS --json` writes."""
    command = [sys.executable, "-m", "saga.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stderr
    return json.decode(done.stdout)
