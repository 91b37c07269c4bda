"""A bar on stderr while something takes long; nothing where nobody looks."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Told = Callable[[int], None]
"""Called with how much has been done so far."""


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Told]:
    """Show how far the work is until the block ends."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)

        def told(done: int) -> None:
            bar.update(task, completed=done)

        yield told
