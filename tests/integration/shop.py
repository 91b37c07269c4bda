"""The order demo as processes that a test starts and kills."""

from pathlib import Path

from tests.integration.processes import Process

SERVICES = ("orders", "inventory", "payments", "shipping")
SESSION_MS = 3_000


class Shop:
    """Four processes with the services of the example, and one with a tracker that follows this flow file."""

    def __init__(self, bootstrap_servers: str, folder: Path, flow: str) -> None:
        flows = folder / "flows"
        flows.mkdir()
        (flows / "order.yaml").write_text(flow)
        settings = {
            "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "SAGA_SESSION_TIMEOUT_MS": str(SESSION_MS),
            "SAGA_TRANSACTION_TIMEOUT_MS": "3000",
            "SAGA_DEMO_PAYMENT_MS": "2",
        }
        self.processes = {
            name: Process([f"services.{name}"], {**settings, "SAGA_INSTANCE": name}, folder / f"{name}.log")
            for name in SERVICES
        }
        self.processes["tracker"] = Process(
            ["tracker.runtime.worker"],
            {**settings, "SAGA_STATE_DIR": str(folder / "state"), "SAGA_FLOWS_DIR": str(flows)},
            folder / "tracker.log",
        )

    def __enter__(self) -> "Shop":
        for process in self.processes.values():
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.end()
