"""What the pages of services say of them."""

from collections import Counter

import pytest

from tracker.dashboard.node import text_of
from tracker.dashboard.pages.services import service_body, services_body
from tracker.view.queries.services import ServiceDocument


@pytest.mark.parametrize(("version", "shown"), [("2.3.1", "2.3.1"), (None, "")])
def test_the_version_of_a_service_stands_beside_its_name(version: str | None, shown: str) -> None:
    service = ServiceDocument("doors", "Opens", "exactly-once", version, [], [])

    for page in (services_body([service], Counter(), {}, events=False), service_body(service)):
        assert shown in text_of(page)
        assert ("version of the instance" in str(page)) == bool(version)
        assert "None" not in text_of(page)
