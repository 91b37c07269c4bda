"""`python -m tests.bench.services NAME GUARANTEE`: a service of the example with a given guarantee."""

import asyncio
import importlib
import logging
import sys
from typing import cast, get_args

from saga.core.service import Guarantee, Service
from saga.runtime.worker import run_service


def main(name: str, guarantee: str) -> None:
    assert guarantee in get_args(Guarantee), guarantee
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    service = getattr(importlib.import_module(f"services.{name}.handlers"), name)
    assert isinstance(service, Service)
    service.guarantee = cast(Guarantee, guarantee)
    asyncio.run(run_service(service))


if __name__ == "__main__":
    main(*sys.argv[1:])
