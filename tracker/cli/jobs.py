"""`saga jobs`: what the server of the dashboard works on for operators.

Exit codes: 0 done; 1 refused, or there is no such job.
"""

from typing import Annotated

import typer

from tracker.cli.connection import Url, run

jobs = typer.Typer(
    no_args_is_help=True,
    help="""Bulk jobs: one action for many sagas, or a redrive, which the dashboard's server works on.

    Example: saga jobs list --url https://sagas.example.com
    """,
)

_Job = Annotated[str, typer.Argument(metavar="ID", help="Id of a job, or its beginning or end.")]
_Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@jobs.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Show so many at most.")] = 20,
    as_json: _Json = False,
    url: Url = None,
) -> None:
    """List jobs, the newest first: who began them, why, and how far they are.

    Example: saga jobs list
    """
    from tracker.cli import remote_jobs  # aiohttp takes its time to import

    run(remote_jobs.list_(url, limit, as_json))


@jobs.command()
def show(
    job: _Job,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Tell its progress until it has ended; Ctrl-C aborts it.")
    ] = False,
    as_json: _Json = False,
    url: Url = None,
) -> None:
    """Show one job: what it is about, how far it is, and what was refused and why.

    Example: saga jobs show 3f2a9c01 --follow
    """
    from tracker.cli import remote_jobs  # aiohttp takes its time to import

    run(remote_jobs.show(url, job, follow, as_json))


@jobs.command()
def abort(job: _Job, url: Url = None) -> None:
    """Have a job end behind what it is doing. What is done stays done.

    Example: saga jobs abort 3f2a9c01
    """
    from tracker.cli import remote_jobs  # aiohttp takes its time to import

    run(remote_jobs.change(url, job, "abort", "ends behind what it is doing"))


@jobs.command()
def resume(job: _Job, url: Url = None) -> None:
    """Have a job that was aborted, or has failed, go on with what is left of it.

    Example: saga jobs resume 3f2a9c01
    """
    from tracker.cli import remote_jobs  # aiohttp takes its time to import

    run(remote_jobs.change(url, job, "resume", "goes on"))
