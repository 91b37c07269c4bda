"""A progress bar for the jars' first and only download."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int], None]  # takes the bytes that have come since the last call


@contextmanager
def download_bar(what: str, size_bytes: int) -> Iterator[Callable[[], AbstractContextManager[Advance]]]:
    """Show on stderr how much has come of several files that come at the same time.

    Yields what opens one file's share of the bar. Without a terminal it is one plain line.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"Downloading {what} ({size_bytes / 1e6:.0f} MB), once", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"Downloading {what}", total=size_bytes)

        @contextmanager
        def share() -> Iterator[Advance]:
            yield lambda count: progress.advance(task, count)

        yield share
