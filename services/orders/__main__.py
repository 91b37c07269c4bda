"""Runs the service: `python -m services.orders`."""

from saga.cli.run import run
from services.orders.handlers import orders

run(orders)
