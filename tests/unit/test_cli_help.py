"""The help of each command, as a terminal shows it."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import typer

from saga.cli.app import application


def commands(command: Any, name: str = "saga") -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
    for part, each in (below or {}).items():
        yield from commands(each, f"{name} {part}")


APPLICATION: Any = typer.main.get_command(application())
COMMANDS = dict(commands(APPLICATION))


def test_no_help_has_words_that_are_taken_for_a_style() -> None:
    """Rich shows nothing of what stands in square brackets: a default is given to typer as such."""
    for name, command in COMMANDS.items():
        for parameter in command.params:
            assert "[default" not in (getattr(parameter, "help", None) or ""), f"{name} {parameter.name}"


def test_every_command_that_is_installed_stands_in_a_panel_of_the_help() -> None:
    groups = entry_points()
    installed = {
        entry.name
        for group in groups.groups
        if group.startswith("saga.commands")
        for entry in groups.select(group=group)
    }
    panels = {name: command.rich_help_panel for name, command in APPLICATION.commands.items()}

    assert set(panels) == installed
    assert all(panels.values())


def test_every_command_has_an_example() -> None:
    for name, command in COMMANDS.items():
        assert "Example" in (command.help or ""), name


def test_whoever_reads_a_saga_of_kafka_can_read_it_of_the_server_too() -> None:
    remote = {
        name.removeprefix("saga ")
        for name, command in COMMANDS.items()
        if any(parameter.name == "url" for parameter in command.params)
    }
    assert {"list", "show", "watch", "map", "funnel", "variants", "orphans", "status"} <= remote
    assert {"cancel", "compensate", "pause", "resume", "retry", "skip", "done", "note"} <= remote
