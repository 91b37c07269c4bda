"""What every request needs; made once when the server starts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from saga.runtime.settings import KafkaSettings
from tracker.view.known import Known
from tracker.view.queries.live import Live
from tracker.view.queries.reader import Reader


@dataclass(frozen=True)
class Context:
    """The surroundings of the API and of the pages.

    Attributes
    ----------
    settings : where Kafka is.
    reader : asks the read model.
    live : tells what changes in it.
    known : the services and flows of this moment.
    now_ms : the clock, milliseconds since the epoch.
    """

    settings: KafkaSettings
    reader: Reader
    live: Live
    known: Callable[[], Known]
    now_ms: Callable[[], int]


def context_of(request: Request) -> Context:
    """The context that the application of this request was made with."""
    context: Context = request.app.state.context
    return context


Asked = Annotated[Context, Depends(context_of)]
