"""The folder of flow files that a tracker is given: read at the start, and again when a file changes."""

from pathlib import Path

from tracker.core.correlation import Rule, Rules
from tracker.core.flow import Flow, Flows
from tracker.flow.check import check_against, check_together
from tracker.flow.files import flow_paths, read_flow_file
from tracker.flow.parse import FlowFile
from tracker.flow.problem import Problem

FILES_MAX = 1000

Problems = dict[str, tuple[Problem, ...]]
"""By file."""


class FlowFolder:
    """The flow files in a folder, as they were when `look` was last called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[Path, tuple[tuple[int, int], FlowFile]] = {}
        self._unreadable: tuple[Problem, ...] = ()

    def look(self) -> bool:
        """Read what has changed; whether anything has. Blocks while it reads and parses."""
        before, missing = self._files, self._unreadable
        self._files, self._unreadable = {}, ()
        try:
            paths = list(flow_paths([self.folder]))
            if not self.folder.is_dir():
                raise NotADirectoryError(f"{self.folder} is no folder")
        except OSError as error:
            reason = error.strerror or str(error)
            self._unreadable = (_whole(self.folder, f"the folder of flow files can't be read: {reason}"),)
            paths = []
        if len(paths) > FILES_MAX:
            self._unreadable = (_whole(self.folder, f"{len(paths)} files, but {FILES_MAX} are the most"),)
        for path in paths[:FILES_MAX]:
            stamp = _stamp(path)
            known = before.get(path)
            self._files[path] = known if known and known[0] == stamp else (stamp, read_flow_file(path))
        changed = {path: stamp for path, (stamp, _) in self._files.items()} != {
            path: stamp for path, (stamp, _) in before.items()
        }
        return changed or missing != self._unreadable

    def judged(self, known: Flows, rules: Rules | None = None) -> tuple[list[Flow], Problems]:
        """The flows that may be followed, and the problems of all files; a file with any is not followed.

        `known` and `rules` are what the cluster follows already: a version keeps its meaning for good,
        since sagas run by it.
        """
        files = [file for _, file in self._files.values()]
        problems: Problems = {file.file: file.problems for file in files}
        right = [file for file in files if not file.problems]
        for problem in check_together(right):
            problems[problem.file] += (problem,)
        flows: list[Flow] = []
        for file in files:
            if not problems[file.file]:
                problems[file.file] = check_against(file, known, rules)
            if file.flow is not None and not problems[file.file]:
                flows.append(file.flow)
        if self._unreadable:
            problems[str(self.folder)] = self._unreadable
        return flows, problems

    def rules(self, problems: Problems) -> list[Rule]:
        """The correlation rules that may be followed, by the problems that were found."""
        files = (file for _, file in self._files.values())
        return [file.rule for file in files if file.rule is not None and not problems.get(file.file)]


def _whole(folder: Path, message: str) -> Problem:
    return Problem(str(folder), 1, 1, message)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, -1)  # reading it tells why
    return found.st_mtime_ns, found.st_size
