"""`saga users`: who may sign in with a password."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.table import Table

from saga.core.errors import SagaError
from tracker.access.password import hashed
from tracker.access.role import Role
from tracker.access.settings import AccessSettings
from tracker.access.users import User, change_users, read_users, user_name
from tracker.cli.console import note, output

users = typer.Typer(
    no_args_is_help=True,
    help="Who may sign in to the dashboard with a password: a file for its owner alone.\n\n"
    "Example: saga users add ada --role admin",
)

File = Annotated[
    Path | None,
    typer.Option(help="The user file.", envvar="SAGA_ACCESS_USERS_FILE", show_default="data/users"),
]
Name = Annotated[str, typer.Argument(help="Letters, digits and . _ @ + -; capitals make no difference.")]
RoleName = Annotated[
    str, typer.Option("--role", help="viewer: looks; operator: acts on sagas too; admin: gives access too.")
]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, not the terminal.")
]


@users.command()
def add(name: Name, role: RoleName, password_stdin: FromStdin = False, file: File = None) -> None:
    """Add a user, with a password of 12 characters or more.

    A running dashboard sees the change at once.

    Example: saga users add ada --role admin
    """
    try:
        path, kept, given = _path(file), user_name(name), _role(role)
        if kept in read_users(path):
            raise _Refused(f"there is a user {kept}: saga users set-role {kept} ROLE, or set-password {kept}")
        hash_ = _asked_hash(kept, password_stdin)

        def change(found: dict[str, User]) -> None:
            if kept in found:
                raise _Refused(f"there is a user {kept} by now")
            found[kept] = User(kept, given, hash_)

        change_users(path, change)
    except SagaError as error:
        _fail(error)
    note(f"{kept} is {given.text} now, in {path}")


@users.command("list")
def list_(file: File = None) -> None:
    """Users and their roles.

    Example: saga users list
    """
    try:
        path = _path(file)
        found = read_users(path)
    except SagaError as error:
        _fail(error)
    if not found:
        note(f"no users in {path}: `saga users add NAME --role admin` adds the first")
        return
    table = Table("NAME", "ROLE", box=None, pad_edge=False, header_style="")
    for user in sorted(found.values()):
        table.add_row(user.name, user.role.text)
    output().print(table)


@users.command()
def remove(name: Name, file: File = None) -> None:
    """Remove a user; whoever is signed in with this name is signed out.

    Example: saga users remove ada
    """
    _change(file, name, lambda found, kept: found.pop(kept))
    note(f"{name.strip().lower()} is gone, and signed out")


@users.command("set-role")
def set_role(
    name: Name, role: Annotated[str, typer.Argument(help="viewer, operator or admin.")], file: File = None
) -> None:
    """Give a user another role; it counts from the next request on.

    Example: saga users set-role ada operator
    """
    try:
        given = _role(role)
    except SagaError as error:
        _fail(error)

    def change(found: dict[str, User], kept: str) -> None:
        found[kept] = found[kept]._replace(role=given)

    _change(file, name, change)
    note(f"{name.strip().lower()} is {given.text} now")


@users.command("set-password")
def set_password(name: Name, password_stdin: FromStdin = False, file: File = None) -> None:
    """Give a user another password; sessions that began with the old one end.

    Example: saga users set-password ada
    """
    try:
        kept = user_name(name)
        if kept not in read_users(_path(file)):
            raise _unknown(kept, _path(file))
        hash_ = _asked_hash(kept, password_stdin)
    except SagaError as error:
        _fail(error)

    def change(found: dict[str, User], kept: str) -> None:
        found[kept] = found[kept]._replace(hash=hash_)

    _change(file, name, change)
    note(f"{kept} has another password now")


class _Refused(SagaError):
    """Such a change makes no sense. The message says why."""


def _unknown(name: str, path: Path) -> _Refused:
    return _Refused(f"there is no user {name} in {path}: `saga users list` shows all")


def _change(file: Path | None, name: str, change: Callable[[dict[str, User], str], object]) -> None:
    try:
        path, kept = _path(file), user_name(name)

        def changed(found: dict[str, User]) -> None:
            if kept not in found:
                raise _unknown(kept, path)
            change(found, kept)

        change_users(path, changed)
    except SagaError as error:
        _fail(error)


def _path(file: Path | None) -> Path:
    return file or AccessSettings().access_users_file


def _role(text: str) -> Role:
    try:
        return Role.of(text)
    except ValueError as error:
        raise _Refused(str(error)) from None


def _asked_hash(name: str, stdin: bool) -> str:
    if stdin:
        return hashed(sys.stdin.readline().rstrip("\r\n"))
    return hashed(typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True))


def _fail(error: SagaError) -> NoReturn:
    print(f"saga: {error}", file=sys.stderr)
    raise typer.Exit(1)
