"""Runs the service: `python -m services.payments`."""

from saga.cli.run import run
from services.payments.handlers import payments

run(payments)
