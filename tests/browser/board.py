"""The dashboard over a read model that it writes itself: `python -m tests.browser.board --sagas 1000`."""

import argparse
import fcntl
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import uvicorn
from msgspec import structs

from saga.runtime.settings import KafkaSettings
from tests.access_kit import access_of
from tests.api_client import model_of
from tests.browser.incidents import SHOP, write_incidents
from tests.browser.population import orders
from tests.facts import NOON_MS
from tracker.access.access import Access
from tracker.api.app import create_app
from tracker.api.context import Context
from tracker.dashboard.app import mount_pages
from tracker.dashboard.settings import PageSettings
from tracker.view.model.database import open_model
from tracker.view.model.freshness import Projected, write_projected
from tracker.view.queries.live import Live
from tracker.view.queries.reader import Reader


def main() -> None:
    """Serve it until Ctrl-C."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sagas", type=int, default=1_000)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--users", type=Path, help="User file; without one everybody is an admin.")
    parser.add_argument(
        "--kept", type=Path, help="Folder with the read model: made by who comes first, others take a copy."
    )
    parser.add_argument(
        "--gone",
        type=Path,
        help="As long as this file is there no tracker is at work; without it nobody asks.",
    )
    options = parser.parse_args()
    began = time.monotonic()

    def now_ms() -> int:
        # The day of the population is long past, and goes on as long as we run.
        return NOON_MS + round((time.monotonic() - began) * 1000)

    with tempfile.TemporaryDirectory() as folder:
        ours = Path(folder)
        shutil.copyfile(_made(options.kept or ours, options.sagas), ours / "ours.db")
        reader = Reader(open_model(f"sqlite:///{ours}/ours.db"))
        context = Context(
            KafkaSettings(bootstrap_servers="127.0.0.1:1"), reader, Live(reader), lambda: SHOP, now_ms
        )
        threading.Thread(target=_keep_fresh, args=(reader, now_ms, options.gone), daemon=True).start()
        app = create_app(context, _access(reader, options.users))
        mount_pages(app, context, PageSettings())
        uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


def _made(folder: Path, sagas: int) -> Path:
    """The file of a read model, which nobody has open: made here unless that is done already."""
    file = folder / f"{sagas}-sagas.db"
    # As long as somebody else makes it, we wait; whoever dies while making it leaves no such file.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            with tempfile.TemporaryDirectory(dir=folder) as making:
                population = list(orders(sagas))
                reader = model_of(Path(making), {saga.id: saga for saga in population}, SHOP)
                write_incidents(reader.engine, population)
                reader.close()
                reader.engine.dispose()
                (Path(making) / "sagas.db").rename(file)
    return file


def _access(reader: Reader, users: Path | None) -> Access:
    return access_of(reader.engine) if users is None else access_of(reader.engine, access_users_file=users)


def _keep_fresh(reader: Reader, now_ms: Callable[[], int], gone: Path | None) -> NoReturn:
    """Say what a projector says that has read all there is, and perhaps has asked for the tracker."""
    told = Projected("board", building=False)
    while True:
        at_ms = now_ms()
        told = structs.replace(told, beat_ms=at_ms, as_of_ms=at_ms, complete_ms=at_ms)
        if gone is not None:
            at_work = not gone.exists()
            as_of_ms = at_ms if at_work else told.tracker_as_of_ms
            told = structs.replace(told, tracker_at_work=at_work, tracker_as_of_ms=as_of_ms)
        with reader.engine.begin() as connection:
            write_projected(connection, told)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
