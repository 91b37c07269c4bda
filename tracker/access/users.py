"""The user file: a line for each user with name, role and hash of the password, for its owner alone."""

import fcntl
import logging
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tracker.access.errors import UserFileUnusable
from tracker.access.password import is_hash
from tracker.access.role import Role

_MODE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_HEAD = "# Users of the saga dashboard, kept by `saga users`: name, role, hash of the password\n"

logger = logging.getLogger(__name__)


class User(NamedTuple):
    """A line of the file."""

    name: str
    role: Role
    hash: str


def user_name(text: str) -> str:
    """A name as it is kept: in small letters.

    Raises
    ------
    UserFileUnusable
        It is none.
    """
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise UserFileUnusable(
            f"{text[:80]!r} is no name of a user: letters, digits and . _ @ + - only, 64 at most"
        )
    return name


def read_users(path: Path) -> dict[str, User]:
    """Users by name; none if there is no file.

    Raises
    ------
    UserFileUnusable
        Others may read or write it, it can't be read, or a line of it is none.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & _OTHERS:
                raise UserFileUnusable(f"others have rights on {path}: chmod 600 {path}")
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UserFileUnusable(f"the user file {path} can't be read: {error}") from error
    users: dict[str, User] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            user = _parsed(line, f"{path}:{number}")
            if user.name in users:
                raise UserFileUnusable(f"{path}:{number}: {user.name} stands there twice: remove one line")
            users[user.name] = user
    return users


def change_users(path: Path, change: Callable[[dict[str, User]], None]) -> None:
    """Read, change and replace the file, whole or not at all; others that change it wait.

    Raises
    ------
    UserFileUnusable
        It can't be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f"{path.name}.lock")):
            users = read_users(path)
            change(users)
            _replace(path, _HEAD + "".join(_line(users[name]) for name in sorted(users)))
    except OSError as error:
        raise UserFileUnusable(f"the user file {path} can't be written: {error}") from error


class Users:
    """The users of a file, read again when it has changed.

    A file that is broken while we run changes nothing, and is told of in the log: those who were users
    before stay users until it is mended.
    """

    def __init__(self, path: Path) -> None:
        """Raises `UserFileUnusable` if it can't be used."""
        self._path = path
        self._stamp = _stamp(path)
        self._users = read_users(path)

    def all(self) -> Mapping[str, User]:
        """By name, as the file has them now."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._users = read_users(self._path)
            except UserFileUnusable as error:
                logger.warning("the users stay as they were: %s", error)
            else:
                logger.info("%s was read again: %d users", self._path, len(self._users))
        return MappingProxyType(self._users)


def _parsed(line: str, place: str) -> User:
    parts = line.split()
    if len(parts) != 3:
        raise UserFileUnusable(f"{place}: a line has a name, a role and a hash, this one {len(parts)} parts")
    name, role, kept = parts
    try:
        if user_name(name) != name:
            raise UserFileUnusable(f"names are kept in small letters, not as {name}")
        if not is_hash(kept):
            raise UserFileUnusable(
                f"the password of {name} is no Argon2id hash: remove the line and add the user again"
            )
        return User(name, Role.of(role), kept)
    except (UserFileUnusable, ValueError) as error:
        raise UserFileUnusable(f"{place}: {error}") from None


def _line(user: User) -> str:
    return f"{user.name} {user.role.text} {user.hash}\n"


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    # mkstemp makes it for its owner alone. A crash leaves the old file, never half a new one.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
