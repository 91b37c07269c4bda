"""The processes of the demo: each with its log in a file, and gone when we are gone."""

import fcntl
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from saga.core.errors import SagaError
from saga.local.process import GuardedProcess

END_SECONDS_MAX = 8.0
_TAIL_LINES = 15


class ChildEnded(SagaError):
    """A process of the demo ended by itself. The message has the end of its log."""


class FolderTaken(SagaError):
    """Another demo runs in this folder. Stop it, or give this one a folder of its own with --data."""


@dataclass(frozen=True)
class Child:
    """One of them."""

    name: str
    log: Path
    process: GuardedProcess

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(lines) or "(it wrote nothing)"


class Fleet:
    """Python modules and other commands as processes; a context manager that ends them all.

    `folder` holds their logs. `temporary` is removed by whoever is last, should we be killed: see
    `saga.local.watchdog`.
    """

    def __init__(self, folder: Path, temporary: Path | None) -> None:
        self._folder = folder
        self._temporary = temporary
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # The children inherit it: the folder is free when the last of them is gone.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise FolderTaken(f"another demo runs with {self._folder}: stop it, or choose --data") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._children:
            with ThreadPoolExecutor(len(self._children)) as pool:
                for _ in pool.map(lambda child: child.process.end(END_SECONDS_MAX), self._children):
                    pass
        os.close(self._lock)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Run `python -m` with these arguments, in the environment of this process."""
        self.start_command(name, [sys.executable, "-m", *arguments])

    def start_command(self, name: str, command: Sequence[str]) -> None:
        """Run a command that need not be Python, in the environment of this process."""
        log = self._folder / f"{name}.log"
        process = GuardedProcess.spawn(command, output=log, keep_open=self._lock, temporary=self._temporary)
        self._children.append(Child(name, log, process))

    def check(self) -> None:
        """Raise `ChildEnded` if one of them did."""
        for child in self._children:
            if not child.process.running:
                raise ChildEnded(f"{child.name} ended by itself. The end of {child.log}:\n{child.log_tail()}")
