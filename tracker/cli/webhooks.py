"""`saga webhooks`: tell others of alerts by HTTP, until Ctrl-C."""

import logging
import secrets as chance
from typing import Annotated

import typer

from tracker.cli.connection import BootstrapServers
from tracker.core.webhook import written_secret
from tracker.runtime.settings import WebhookSettings

_SECRET_BYTES = 32


def webhooks(
    urls: Annotated[
        str | None,
        typer.Option(help="Where to: URLs separated by commas.", envvar="SAGA_WEBHOOK_URLS"),
    ] = None,
    topics: Annotated[
        str | None,
        typer.Option(
            help="What of: topics separated by commas.",
            envvar="SAGA_WEBHOOK_TOPICS",
            show_default="saga.alerts",
        ),
    ] = None,
    new_secret: Annotated[
        bool, typer.Option("--new-secret", help="Print a new secret for SAGA_WEBHOOK_SECRET and end.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each failed attempt.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Send alerts and lifecycle events to URLs, as signed JSON CloudEvents (Standard Webhooks).

    Runs until Ctrl-C, beside the tracker, which it never holds up; several share the work. What a URL
    does not take in the end stands on saga.dlq.webhooks.

    Example: SAGA_WEBHOOK_SECRET=whsec_… saga webhooks --urls https://example.com/hook
    """
    if new_secret:
        print(written_secret(chance.token_bytes(_SECRET_BYTES)))
        return
    # The HTTP client takes its time to import, and `saga --help` loads every command.
    from tracker.runtime.webhooks import main

    given = {"bootstrap_servers": bootstrap_servers, "webhook_urls": urls, "webhook_topics": topics}
    settings = WebhookSettings().model_copy(update={k: v for k, v in given.items() if v is not None})
    raise typer.Exit(main(settings, logging.DEBUG if verbose else logging.INFO))
