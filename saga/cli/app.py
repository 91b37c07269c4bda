"""The command `saga`, whose commands are entry points: those of this package and those of others."""

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from saga.core.errors import SagaError

_PANELS = {
    "saga.commands.see": "See how sagas stand",
    "saga.commands.act": "Act on a saga",
    "saga.commands.run": "Run services, the tracker and the dashboard",
    "saga.commands.flows": "Flow files and event logs",
    "saga.commands.administer": "Access and administration",
}
"""The groups of entry points, in the order of the help."""


class _Commands(Mapping[str, Any]):
    """The commands that are installed, by name. Each is imported when it is asked for: all take a second."""

    def __init__(self) -> None:
        self._entries = {entry.name: entry for group in _PANELS for entry in entry_points(group=group)}

    def __getitem__(self, name: str) -> Any:
        entry = self._entries[name]
        command: Any = typer.main.get_command(_loaded(entry))
        command.rich_help_panel = _PANELS[entry.group]
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class _Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]

    def list_commands(self, _: Any) -> list[str]:
        return list(self.commands)


def application() -> typer.Typer:
    """The Typer application with every command that is installed."""
    app = typer.Typer(
        name="saga",
        cls=_Group,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Choreography over Kafka, with saga tracking.",
    )
    app.callback()(lambda: None)  # or Typer would take an application without commands of its own for none
    return app


def _loaded(entry: EntryPoint) -> typer.Typer:
    command = entry.load()
    if isinstance(command, typer.Typer):
        command.info.name = entry.name
        return command
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(entry.name)(command)
    return alone


def main() -> None:
    """Entry point of the console script."""
    try:
        application()()
    except SagaError as error:  # settings that are wrong are found before a command begins
        sys.exit(f"saga: {error}")
