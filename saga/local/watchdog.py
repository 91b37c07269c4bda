"""The process between us and the broker: it ends the broker when we are gone, even by kill -9.

Run as a script with nothing but the standard library, since it must start at once:
    python watchdog.py TEMPORARY_FOLDER COMMAND...     (TEMPORARY_FOLDER may be empty)

It starts COMMAND, prints its pid on one line, ends when COMMAND ends, with its exit code. Its standard
input is a pipe that nobody writes to: it closes when the process that holds the other end dies. Then
COMMAND gets SIGTERM, later SIGKILL, and the temporary folder is removed. What COMMAND prints goes to our
standard error.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from threading import Thread

GRACE_SECONDS = 8.0
LOOK_SECONDS = 1.0


def main(temporary_folder: str, *command: str) -> int:
    parent = os.getppid()
    # Inherited files stay open: among them is the lock of the data folder, which the broker shall hold.
    broker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, close_fds=False)
    signal.signal(signal.SIGTERM, lambda *_: broker.terminate())
    sys.stdout.write(f"{broker.pid}\n")
    sys.stdout.close()
    watch = Thread(target=_end_with, args=(parent, broker), daemon=True)
    watch.start()
    code = broker.wait()
    if temporary_folder and _is_gone(parent):
        shutil.rmtree(temporary_folder, ignore_errors=True)
    return code


def _end_with(parent: int, broker: subprocess.Popen[bytes]) -> None:
    while not _is_gone(parent):
        select.select([sys.stdin], [], [], LOOK_SECONDS)
    broker.terminate()
    try:
        broker.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        broker.kill()


def _is_gone(parent: int) -> bool:
    # A child that the parent forked may hold the pipe open; then the new parent id tells.
    closed, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(closed) or os.getppid() != parent


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
