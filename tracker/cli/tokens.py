"""`saga tokens`: API tokens for programs."""

from typing import Annotated

import typer

from tracker.cli.connection import BootstrapServers, run

tokens = typer.Typer(
    no_args_is_help=True,
    help="API tokens, for programs that ask the dashboard's server. Each change is written to the audit "
    "log.\n\nExample: saga tokens create ci --role viewer --reason 'smoke test'",
)

Database = Annotated[
    str | None,
    typer.Option(
        help="URL of the dashboard's database. Without it sqlite:///data/sagas.db.",
        envvar="SAGA_DATABASE",
    ),
]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit log.")]


@tokens.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for; shown as who did what is done with it.")],
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")],
    reason: Reason,
    days: Annotated[int, typer.Option(help="How long it lasts.")] = 90,
    database: Database = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Make a token and print it, this once: only a hash of it is kept.

    Example: saga tokens create ci --role viewer --reason 'smoke test'
    """
    from tracker.cli import token_changes  # SQLAlchemy takes its time, and `saga --help` loads this

    run(token_changes.create(name, role, days, reason, database, bootstrap_servers))


@tokens.command("list")
def list_(database: Database = None) -> None:
    """Tokens: whose, which role, until when, and when they were last used.

    Example: saga tokens list
    """
    from tracker.cli import token_changes  # SQLAlchemy takes its time, and `saga --help` loads this

    run(token_changes.list_(database))


@tokens.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="Its ID, as `saga tokens list` shows it.")],
    reason: Reason,
    database: Database = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Take a token away; it gives no access from now on.

    Example: saga tokens revoke 3f2a9c01b7 --reason 'the job is gone'
    """
    from tracker.cli import token_changes  # SQLAlchemy takes its time, and `saga --help` loads this

    run(token_changes.revoke(token_id, reason, database, bootstrap_servers))
