"""Where the browser is."""

import os
import shutil

MISSING = "no Chromium: install the package `chromium`, or name its program in SAGA_CHROMIUM"

# Root, as in a container, has no sandbox of its own; the pages are ours.
ARGUMENTS = ["--no-sandbox"]


def chromium_path() -> str | None:
    """The one that SAGA_CHROMIUM names, or that is on the path."""
    return os.environ.get("SAGA_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
