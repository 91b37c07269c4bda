"""`saga flows`: the flows that a cluster follows, in all their versions, and its correlation rules."""

from typing import Annotated

import typer
from msgspec import json as msgspec_json
from rich.table import Table

from saga.runtime.kafka import producing
from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note, output
from tracker.core.correlation import Rule
from tracker.core.flow import Flow
from tracker.flow.check import check
from tracker.flow.problem import nearest
from tracker.flow.record import FLOWS_TOPIC, encode_flow, encode_rule, flow_key, rule_key
from tracker.view.changelog import read_announcements
from tracker.view.registry import Registry, read_registry

flows = typer.Typer()

_Name = Annotated[
    str,
    typer.Argument(metavar="FLOW", help="A flow, such as order, a version, order@1, or a correlation rule."),
]


@flows.callback(invoke_without_command=True)
def list_flows(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a table.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """List the flows that the cluster follows, in all versions, and what is wrong with flow files.

    Of each flow the newest version begins sagas; older ones are kept for sagas that they began. Below
    stand the correlation rules of topics without our headers.

    Example: saga flows, and for the text of one: saga flows show order@1
    """
    if context.invoked_subcommand is None:
        run(_list(bootstrap_servers, as_json))


@flows.command("show")
def show_flow(name: _Name, bootstrap_servers: BootstrapServers = None) -> None:
    """Print the text of a version, of the newest one of a flow, or of a correlation rule.

    Example: saga flows show order@1
    """
    run(_show(bootstrap_servers, name))


@flows.command("retire")
def retire_flow(
    name: Annotated[
        str, typer.Argument(metavar="FLOW", help="A flow, such as order, or a correlation rule.")
    ],
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Let a flow begin no more sagas; those that it began go on. A newer version takes it up again.

    A correlation rule is applied no more to what is read from then on.

    Example: saga flows retire order
    """
    run(_retire(bootstrap_servers, name))


async def _list(bootstrap_servers: str | None, as_json: bool) -> int:
    settings = await connected(bootstrap_servers)
    registry = await read_registry(settings)
    services = await read_announcements(settings)
    problems = list(registry.problems)
    for file in registry.files:
        if services and file.flow is not None and _state(registry, file.flow) == "newest":
            problems.extend(check(file, services))
    if as_json:
        told: dict[str, object] = {
            "flows": [_json(registry, flow) for flow in registry.versions],
            "problems": problems,
        }
        told["rules"] = [_rule_json(registry, rule) for rule in registry.rules]
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
        return 0
    if registry.versions:
        output().print(_table(registry))
    else:
        note("there is no flow yet: start the tracker with `saga track --flows DIR`")
    if registry.rules:
        output().print(_rules_table(registry))
    for problem in problems:
        note(str(problem))
    return 0


def _table(registry: Registry) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for heading in ("FLOW", "STATE", "BEGINS", "COMPLETED", "DEADLINES", "UNDO"):
        table.add_column(heading, no_wrap=heading in ("FLOW", "STATE"))
    for flow in registry.versions:
        table.add_row(
            flow_key(flow.name, flow.version),
            _state(registry, flow),
            flow.begins,
            ", ".join(flow.completed),
            ", ".join(rule.name for rule in flow.rules),
            ", ".join(_undone(flow)),
        )
    return table


def _rules_table(registry: Registry) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for heading in ("RULE", "VERSION", "STATE", "TOPICS"):
        table.add_column(heading, no_wrap=heading != "TOPICS")
    for rule in registry.rules:
        table.add_row(rule.name, str(rule.version), _rule_state(registry, rule), ", ".join(rule.topics))
    return table


def _rule_json(registry: Registry, rule: Rule) -> dict[str, object]:
    return {
        "rule": rule.name,
        "version": rule.version,
        "state": _rule_state(registry, rule),
        "description": rule.description,
        "topics": rule.topics,
    }


def _rule_state(registry: Registry, rule: Rule) -> str:
    return "retired" if rule.name in registry.retired_rules else "applied"


def _json(registry: Registry, flow: Flow) -> dict[str, object]:
    return {
        "flow": flow.name,
        "version": flow.version,
        "state": _state(registry, flow),
        "description": flow.description,
        "begins": flow.begins,
        "completed": flow.completed,
        "failed": flow.failed,
        "deadlines": [rule.name for rule in flow.rules],
        "undo": _undone(flow),
    }


def _undone(flow: Flow) -> list[str]:
    return [event for event, milestone in flow.events.items() if milestone.undo is not None]


def _state(registry: Registry, flow: Flow) -> str:
    """`newest` begins sagas, `older` may have some that run, `retired` is the newest but begins none."""
    if registry.flows.newest(flow.name) != flow:
        return "older"
    return "retired" if (flow.name, flow.version) in registry.retired else "newest"


async def _show(bootstrap_servers: str | None, name: str) -> int:
    registry = await read_registry(await connected(bootstrap_servers))
    # The newest stands first, so a name alone finds it.
    found = next(
        (flow for flow in registry.versions if name in (flow.name, flow_key(flow.name, flow.version))), None
    )
    text = found.source if found is not None else ""
    if found is None and (rule := _rule(registry, name)) is not None:
        text = rule.source
    if not text:
        return _unknown(registry, name)
    print(text, end="" if text.endswith("\n") else "\n")
    return 0


async def _retire(bootstrap_servers: str | None, name: str) -> int:
    settings = await connected(bootstrap_servers)
    registry = await read_registry(settings)
    flow, rule = registry.flows.newest(name), _rule(registry, name)
    if flow is not None:
        key, value = flow_key(flow.name, flow.version), encode_flow(flow, retired=True)
        then = f"{key} is retired: `{flow.begins}` begins no more sagas of it"
    elif rule is not None:
        key, value = rule_key(rule.name), encode_rule(rule, retired=True)
        then = f"the rule {rule.name} is retired: no more records are correlated by it"
    else:
        return _unknown(registry, name)
    async with producing(settings) as producer:
        await producer.send_and_wait(FLOWS_TOPIC, value, key=key.encode())
    note(then)
    return 0


def _rule(registry: Registry, name: str) -> Rule | None:
    """By its name, or by its key where a flow has the same name."""
    return next((rule for rule in registry.rules if name in (rule.name, rule_key(rule.name))), None)


def _unknown(registry: Registry, name: str) -> int:
    known = [flow_key(flow.name, flow.version) for flow in registry.versions]
    near = nearest(name, [*known, *(flow.name for flow in registry.versions)])
    meant = f"; did you mean {near}?" if near else ""
    note(f"saga: the cluster follows no flow {name}, but {', '.join(known) or 'none'}{meant}")
    return 1
