"""The demo: `saga demo`, or `python -m services.demo`. Kafka, four services, a tracker, pages, and orders."""

import argparse
import contextlib
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from saga import SagaError
from services.demo.demo import Demo
from services.demo.fleet import ChildEnded


def main() -> int:
    """Run the demo; its exit code."""
    options = _options()
    # Ctrl-C and SIGTERM both end it in order: what runs sees a KeyboardInterrupt. (A shell may have had
    # us ignore Ctrl-C.)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with _folder(options.data) as folder:
            _log_to(folder / "logs" / "demo.log")
            console, temporary = Console(highlight=False), options.data is None
            demo = Demo(
                folder,
                console,
                options.rate,
                node=options.node,
                terminal=options.terminal,
                temporary=temporary,
            )
            demo.run(options.bootstrap_servers, options.seconds)
    except KeyboardInterrupt:
        return 0
    except (SagaError, OSError) as error:
        Console(stderr=True).print(f"saga: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="saga demo")
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--node", action="store_true")
    parser.add_argument("--terminal", action="store_true")
    parser.add_argument("--bootstrap-servers")
    return parser.parse_args()


@contextlib.contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    """The given folder; a temporary one that is removed, unless a process ended and left its log there."""
    if data is not None:
        yield data.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="saga-demo-"))
    try:
        yield folder
    except ChildEnded:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _log_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=log, filemode="w", format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )


if __name__ == "__main__":
    sys.exit(main())
