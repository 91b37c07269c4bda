"""The README is true: its code runs, its lists are complete, its commands exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

import saga
from saga import Service
from saga.cli.app import application
from saga.runtime.settings import KafkaSettings, ServiceSettings
from services.inventory.handlers import inventory
from services.orders.handlers import orders
from services.payments.handlers import payments
from services.shipping.handlers import shipping
from tests.integration.auditor import audit
from tests.integration.processes import Process
from tracker.access.settings import AccessSettings
from tracker.dashboard.settings import PageSettings
from tracker.runtime.settings import TrackerSettings, WatchSettings, WebhookSettings
from tracker.view.projector.settings import ProjectorSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SETTINGS_PAGE = ROOT / "docs" / "settings.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


SETTINGS: dict[str, tuple[type[BaseSettings], ...]] = {
    "Everything that talks to Kafka": (KafkaSettings,),
    "Services": (ServiceSettings,),
    "`saga track`": (TrackerSettings,),
    "`saga track` and `saga webhooks`": (WatchSettings,),
    "`saga webhooks`": (WebhookSettings,),
    "`saga project` and `saga dashboard`": (ProjectorSettings,),
    "`saga dashboard`": (AccessSettings, PageSettings),
}
"""Who is told what, in the words of docs/settings.md."""


def section(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert found, f"README.md has no section {name}"
    return found[1]


def settings_tables() -> str:
    """A table for every owner of settings, as docs/settings.md must have it."""
    lines = []
    for title, owners in SETTINGS.items():
        lines += [f"## {title}", "", "| variable | default | meaning |", "| --- | --- | --- |"]
        for owner in owners:
            for name, field in owner.model_fields.items():
                if owner is KafkaSettings or name not in KafkaSettings.model_fields:
                    default = f"`{field.default}`" if str(field.default) else ""
                    lines.append(f"| `SAGA_{name.upper()}` | {default} | {field.description} |")
        lines.append("")
    return "\n".join(lines).removesuffix("\n") + "\n"


def test_every_setting_has_its_line() -> None:
    told = SETTINGS_PAGE.read_text()
    assert told[told.index("## ") :] == settings_tables()


def test_every_setting_says_what_it_means() -> None:
    assert [
        name
        for owners in SETTINGS.values()
        for owner in owners
        for name, field in owner.model_fields.items()
        if not field.description
    ] == []


def test_the_public_api_is_the_one_listed() -> None:
    assert re.findall(r"`(\w+)`", section("api")) == sorted(saga.__all__)
    assert len(saga.__all__) <= 25
    assert all(hasattr(saga, name) for name in saga.__all__)


def test_every_make_target_named_exists() -> None:
    targets = re.findall(r"^make (\w+)$", "\n".join(blocks("sh")), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_every_command_named_exists_and_shows_an_example() -> None:
    named = set(re.findall(r"^\| `saga (\w+)", README, re.MULTILINE))
    assert {"demo", "kafka", "run", "track", "list", "show", "watch"} <= named
    app = application()
    for command in named:
        shown = CliRunner().invoke(app, [command, "--help"])
        assert shown.exit_code == 0, command
        assert "Example" in shown.output, command


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("service", [orders, inventory, payments, shipping], ids=lambda service: service.name)
def test_each_service_says_what_it_handles_and_publishes(service: Service) -> None:
    text = (ROOT / "services" / service.name / "README.md").read_text()
    announced = service.announcement()
    declared = {(publication.handler, publication.type) for publication in announced.publishes}
    handled = {subscription.handler: subscription.type for subscription in announced.subscribes}
    rows = re.findall(r"^\| (?:`([\w.]+)`|\(from outside\)) \| `([\w.]+)` \|", text, re.MULTILINE)
    assert set(rows) == {(handled.get(handler, ""), event) for handler, event in declared}


@pytest.mark.kafka
async def test_the_service_of_the_readme_greets(bootstrap_servers: str, tmp_path: Path) -> None:
    for code in blocks("python"):
        name = code.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(code)
    settings = {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers, "PYTHONPATH": str(tmp_path)}
    service = Process(["saga.cli", "run", "greeter:greeter"], settings, tmp_path / "greeter.log")
    service.start()
    try:
        visit = subprocess.run(
            [sys.executable, tmp_path / "visit.py"],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert re.fullmatch(r"saga show [0-9a-f-]{36}\n", visit.stdout)
        while "Ada" not in (await audit(bootstrap_servers, ["visitors"])).orders("visitor.greeted"):
            assert service.running.poll() is None, service.output()
        assert service.stop() == 0
    finally:
        service.end()


if __name__ == "__main__":  # writes the lists
    names = " ".join(f"`{name}`" for name in sorted(saga.__all__)) + "\n"
    (ROOT / "README.md").write_text(README.replace(section("api"), names))
    SETTINGS_PAGE.write_text(SETTINGS_PAGE.read_text().partition("## ")[0] + settings_tables())
