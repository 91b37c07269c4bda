"""Cases as XES (IEEE 1849-2016): one trace a saga, one event an event."""

import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import quoteattr

from tracker.core.export.case import Case, Happened, timestamp

_HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849-2016" xes.features="" xmlns="http://www.xes-standard.org/">
  <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
  <extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
  <extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
  <global scope="trace">
    <string key="concept:name" value=""/>
  </global>
  <global scope="event">
    <string key="concept:name" value=""/>
    <date key="time:timestamp" value="1970-01-01T00:00:00.000Z"/>
    <string key="lifecycle:transition" value="complete"/>
    <string key="org:resource" value=""/>
  </global>
  <classifier name="Event Name" keys="concept:name"/>
"""

# What XML 1.0 can't hold, not even escaped (section 2.2 of the specification).
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\ufffd"


def xes(cases: Iterable[Case]) -> Iterator[str]:
    """The pieces of the file; characters that XML does not know become U+FFFD."""
    yield _HEAD
    for case in cases:
        yield "".join(_trace(case))
    yield "</log>\n"


def _trace(case: Case) -> Iterator[str]:
    yield "  <trace>\n"
    yield _string("    ", "concept:name", case.id)
    yield _string("    ", "flow", case.flow)
    yield _string("    ", "status", case.status)
    yield _string("    ", "key", case.key)
    for event in case.events:
        yield from _event(event)
    yield "  </trace>\n"


def _event(event: Happened) -> Iterator[str]:
    yield "    <event>\n"
    yield _string("      ", "concept:name", event.type)
    yield f'      <date key="time:timestamp" value="{timestamp(event.at_ms)}"/>\n'
    yield _string("      ", "lifecycle:transition", "complete")
    yield _string("      ", "org:resource", event.resource)
    yield _string("      ", "id", event.id)
    yield _string("      ", "cause", event.cause)
    yield _string("      ", "key", event.key)
    yield _string("      ", "topic", event.topic)
    yield "    </event>\n"


def _string(indent: str, key: str, value: str) -> str:
    # Empty values say nothing, except of what every trace and every event has.
    if not value and ":" not in key:
        return ""
    return f'{indent}<string key="{key}" value={quoteattr(_NO_XML.sub(_REPLACEMENT, value))}/>\n'
