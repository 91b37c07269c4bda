"""The README is true: its code runs, its lists are complete, its commands exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

import saga
from saga import Service
from saga.runtime.settings import KafkaSettings, ServiceSettings
from services.inventory.handlers import inventory
from services.orders.handlers import orders
from services.payments.handlers import payments
from services.shipping.handlers import shipping
from tests.integration.auditor import audit
from tests.integration.processes import Process
from tracker.runtime.settings import TrackerSettings, WebhookSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


OWNERS: tuple[type[BaseSettings], ...] = (KafkaSettings, ServiceSettings, TrackerSettings, WebhookSettings)
COMMANDS: dict[type[BaseSettings], str] = {
    TrackerSettings: "`saga track`: ",
    WebhookSettings: "`saga webhooks`: ",
}


def section(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert found, f"README.md has no section {name}"
    return found[1]


def settings_table() -> str:
    """A line for every setting, as the README must have it."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for owner in OWNERS:
        for name, field in owner.model_fields.items():
            variable = f"SAGA_{name.upper()}"
            inherited = owner is not KafkaSettings and name in KafkaSettings.model_fields
            if inherited:
                continue
            default = f"`{field.default}`" if str(field.default) else ""
            lines.append(f"| `{variable}` | {default} | {COMMANDS.get(owner, '')}{field.description} |")
    return "\n".join(lines) + "\n"


def test_every_setting_has_its_line() -> None:
    assert section("settings") == settings_table()


def test_every_setting_says_what_it_means() -> None:
    assert [
        name for owner in OWNERS for name, field in owner.model_fields.items() if not field.description
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
    for command in named:
        shown = subprocess.run(
            [Path(sys.executable).parent / "saga", command, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "Example" in shown.stdout, command


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


if __name__ == "__main__":  # writes the lists into the README
    text = README
    for name, content in (
        ("settings", settings_table()),
        ("api", " ".join(f"`{name}`" for name in sorted(saga.__all__)) + "\n"),
    ):
        text = (
            text.replace(section(name), content)
            if section(name)
            else text.replace(f"<!-- {name} -->\n", f"<!-- {name} -->\n{content}")
        )
    (ROOT / "README.md").write_text(text)
