"""Runs the service: `python -m services.inventory`."""

from saga.cli.run import run
from services.inventory.handlers import inventory

run(inventory)
