"""Prints a new `kafka.lock`; to be run by hand when Apache Kafka's version changes:

python -m saga.local.lock 4.3.0 > saga/local/kafka.lock
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import Artifact, MavenContext

# Kafka's own package logs through slf4j 1.7 and ships nothing that writes the log; 2.25 is its log4j.
ROOTS = ("org.apache.kafka:kafka_2.13:{version}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")


def main(version: str) -> None:
    with tempfile.TemporaryDirectory() as repository:
        maven = MavenContext(repo_cache=Path(repository))
        roots = [maven.create_dependency(root.format(version=version)) for root in ROOTS]
        # One by one: together each would rule over the other's versions.
        answers = [maven.resolver.resolve([root]) for root in roots]
        lines = {_line(found.artifact) for answer in answers for part in answer for found in part}
    sys.stdout.write(f"# Apache Kafka {version} with all it needs: group:artifact:version sha256 bytes.\n")
    sys.stdout.write("# Made by `python -m saga.local.lock`.\n")
    sys.stdout.writelines(sorted(lines))


def _line(artifact: Artifact) -> str:
    content = artifact.resolve().read_bytes()
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    return f"{coordinate} {hashlib.sha256(content).hexdigest()} {len(content)}\n"


if __name__ == "__main__":
    main(sys.argv[1])
