"""What flows are asked for, counted as sagas are written, so that a question reads a few rows and no sagas.

Sagas in flight are counted by what they have in common (`shapes`). Those that have ended are counted by the
hour, and how they went by the day on which they did. A saga counts as it is: one that changes after its end,
or goes on, is taken back as it was counted. One that was removed goes on to count, as long as the read model
is not made anew: then only what Kafka still has can be counted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Table, and_, or_, select, text

from tracker.core.contract.packed import (
    decode_durations,
    decode_traffic,
    encode_durations,
    encode_traffic,
)
from tracker.core.contract.traffic import Traffic
from tracker.core.status import ENDED, Status
from tracker.view.model.shape import stored
from tracker.view.model.tables import hours as hours_table
from tracker.view.model.tables import shapes
from tracker.view.model.tables import traffic as traffic_table
from tracker.view.model.tallied import DAY_MS, HOUR_MS, Hour, Key, Tallied

__all__ = ["DAY_MS", "HOUR_MS", "Hour", "Standing", "count_ended", "hours", "standing", "traffic"]

_KEYS_MAX = 200
"""In one statement, and so in one condition: databases limit how deep one may be."""


class Standing(Struct, frozen=True):
    """How many sagas in flight of one version of a flow are at one stage with one status.

    Attributes
    ----------
    flow, flow_version, begins, place : as in `SagaRow`.
    timed : those of which a clock runs.
    due_soon, overdue : how the most urgent of these clocks stands; all others of `timed` are on time.
    """

    flow: str
    flow_version: int
    begins: str
    status: Status
    place: str
    sagas: int
    timed: int
    due_soon: int
    overdue: int

    @property
    def on_time(self) -> int:
        return self.timed - self.due_soon - self.overdue


def standing(connection: Connection, now_ms: int) -> list[Standing]:
    """Where all sagas in flight are, of each flow; one entry for each stage and status that there is."""
    overdue = _counted(connection, "due_ms <= :now_ms", now_ms)
    due_soon = _counted(connection, "+warn_at_ms <= :now_ms AND due_ms > :now_ms", now_ms)
    found: dict[tuple[str, int, str, str, str], list[int]] = {}
    ended = sorted(status.value for status in ENDED)
    for row in connection.execute(select(shapes).where(shapes.c.status.not_in(ended))):
        place = row.flow, row.flow_version, row.begins, row.status, row.place
        counts = found.setdefault(place, [0, 0, 0, 0])
        told = row.sagas, row.sagas * row.timed, due_soon.get(row.id, 0), overdue.get(row.id, 0)
        for index, count in enumerate(told):
            counts[index] += count
    return [
        Standing(flow, version, begins, Status(status), place, *counts)
        for (flow, version, begins, status, place), counts in sorted(found.items())
    ]


def hours(
    connection: Connection, flow: str | None, version: int | None, from_ms: int, until_ms: int
) -> list[Hour]:
    """The hours that begin in this time, `from_ms` included, `until_ms` not; none for those without an end.

    Parameters
    ----------
    flow : of a flow file, or the type of a first event; None for all of them.
    version : of that flow; None for all of them, each with hours of its own.
    """
    at = hours_table.c.hour_ms
    query = select(hours_table).where(*_of(hours_table, flow, version), at >= from_ms, at < until_ms)
    found = connection.execute(query.order_by(*hours_table.primary_key.columns))
    return [_hour(*row) for row in found]


def traffic(
    connection: Connection, flow: str | None, version: int | None, from_ms: int, until_ms: int
) -> Traffic:
    """How the sagas went that ended on the days (UTC) of which some part lies in this time, all in one.

    Those in flight are not in it: `standing` tells where they are. `flow` and `version` as for `hours`.
    """
    at = traffic_table.c.day_ms
    within = at > from_ms - DAY_MS, at < until_ms
    found = Traffic()
    for value in connection.scalars(
        select(traffic_table.c.value).where(*_of(traffic_table, flow, version), *within)
    ):
        found.merge(decode_traffic(value))
    return found


def count_ended(connection: Connection, tallied: Tallied) -> None:
    """Count sagas that have ended. Nobody else may count now."""
    _merge(connection, hours_table, tallied.hours, _merged_hour)
    _merge(connection, traffic_table, tallied.days, _merged_traffic)


def _merged_hour(hour: Hour, row: Any) -> Mapping[str, object]:
    merged = Hour(hour.flow, hour.flow_version, hour.begins, hour.hour_ms) if row is None else _hour(*row)
    merged.merge(hour)
    names = "completed", "failed", "compensated", "cancelled", "breached"
    counts = dict(zip(names, merged.counts, strict=True))
    return {**counts, "durations": encode_durations(merged.durations)}


def _merged_traffic(traffic: Traffic, row: Any) -> Mapping[str, object]:
    if row is None:
        return {"value": encode_traffic(traffic)}
    stored_traffic = decode_traffic(row.value)
    stored_traffic.merge(traffic)
    return {"value": encode_traffic(stored_traffic)}


def _merge(
    connection: Connection,
    table: Table,
    told: Mapping[Key, Any],
    merged: Callable[[Any, Any], Mapping[str, object]],
) -> None:
    """Add each to the row of its key, if there is one."""
    columns = list(table.primary_key.columns)
    keys = list(told)
    for first in range(0, len(keys), _KEYS_MAX):
        some = keys[first : first + _KEYS_MAX]
        wanted = or_(*(and_(*map(_equal, columns, key)) for key in some))
        known = {tuple(row[: len(columns)]): row for row in connection.execute(select(table).where(wanted))}
        rows = [
            {
                **{column.name: part for column, part in zip(columns, key, strict=True)},
                **merged(told[key], known.get(key)),
            }
            for key in some
        ]
        connection.execute(text(_upsert(table)), rows)


def _equal(column: ColumnElement[Any], value: object) -> ColumnElement[bool]:
    return column == value


def _upsert(table: Table) -> str:
    keys = [column.name for column in table.primary_key.columns]
    names = [column.name for column in table.columns]
    others = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    values = ", ".join(f":{name}" for name in names)
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {others}"
    )


def _counted(connection: Connection, condition: str, now_ms: int) -> dict[int, int]:
    # `sagas_due` has all of this. With a plain `shape` SQLite would walk all sagas in the order of those.
    query = text(f"SELECT +shape AS shape, count(*) FROM sagas WHERE {condition} GROUP BY +shape")
    return {row.shape: row[1] for row in connection.execute(query, {"now_ms": now_ms})}


def _of(table: Table, flow: str | None, version: int | None) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if flow is not None:
        name = stored(flow)
        found.append(or_(table.c.flow == name, table.c.begins == name))
    if version is not None:
        found.append(table.c.flow_version == version)
    return found


def _hour(*columns: Any) -> Hour:
    *told, durations = columns
    told.append(decode_durations(durations))
    return Hour(*told)
