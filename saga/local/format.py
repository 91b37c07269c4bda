"""A new data folder gets its cluster id and first metadata, as Kafka demands before a start."""

import base64
import secrets
import subprocess
from collections.abc import Sequence

from saga.local.errors import BrokerFailed
from saga.local.folder import DataFolder
from saga.local.process import java_environment


def format_folder(folder: DataFolder, java: Sequence[str]) -> None:
    """Run Kafka's own tool, unless the folder is formatted. `java` is the command up to the class."""
    if folder.formatted:
        return
    tool = [*java, "kafka.tools.StorageTool", "format", "-t", _cluster_id()]
    done = subprocess.run(
        [*tool, "-c", str(folder.properties)],
        env=java_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BrokerFailed(f"Apache Kafka could not format {folder.path}:\n{done.stdout}")


def _cluster_id() -> str:
    # A leading zero byte: an id that begins with "-" would be taken for an option.
    return base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
