"""The command `saga`: its own commands, and those that other packages add by entry points."""

from importlib.metadata import entry_points

import typer

from saga.cli.demo import demo
from saga.cli.health import health
from saga.cli.kafka import kafka
from saga.cli.run import run_command

COMMANDS_GROUP = "saga.commands"


def application() -> typer.Typer:
    """The Typer application with every command that is installed."""
    app = typer.Typer(
        name="saga",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Choreography over Kafka, with saga tracking.",
    )
    app.command("demo")(demo)
    app.command("health")(health)
    app.command("kafka")(kafka)
    app.command("run")(run_command)
    for entry in sorted(entry_points(group=COMMANDS_GROUP)):
        command = entry.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=entry.name)
        else:
            app.command(entry.name)(command)
    return app


def main() -> None:
    """Entry point of the console script."""
    application()()
