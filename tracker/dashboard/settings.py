"""Settings of the pages from the environment: each field is a variable SAGA_<NAME>."""

from typing import Annotated

from pydantic import AfterValidator, Field

from saga.runtime.settings import Settings


def _template(url: str) -> str:
    if url and not (url.startswith(("https://", "http://")) and ("{trace_id}" in url or "{saga_id}" in url)):
        raise ValueError("it is no URL with {trace_id} or {saga_id} in it")
    return url


class PageSettings(Settings):
    """What pages show beside what the tracker knows."""

    trace_url: Annotated[
        str,
        AfterValidator(_template),
        Field(
            description="URL of a trace where you look at them, with {trace_id} or {saga_id} in it, such as "
            "https://jaeger.example.com/trace/{trace_id}. Empty: pages have no links to traces.",
        ),
    ] = ""
