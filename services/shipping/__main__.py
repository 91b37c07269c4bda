"""Runs the service: `python -m services.shipping`."""

from saga.cli.run import run
from services.shipping.handlers import shipping

run(shipping)
