"""A failing plan made small: what can be left out, and what can be plainer, so that it still fails."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import structs

from tests.simulation.plan import Plan, SagaPlan

TRIALS_MAX = 400

Fails = Callable[[Plan], bool]


def shrink(plan: Plan, fails: Fails, trials_max: int = TRIALS_MAX) -> Plan:
    """The smallest plan found in so many trials that fails as well."""
    left = trials_max

    def still_fails(candidate: Plan) -> bool:
        nonlocal left
        if left <= 0 or candidate == plan:
            return False
        left -= 1
        return fails(candidate)

    before: Plan | None = None
    while before != plan and left > 0:
        before = plan
        for field in ("faults", "orders", "bookings", "sagas"):
            plan = _fewer(plan, field, still_fails)
        for plainer in _PLAINER:
            plan = next((candidate for candidate in plainer(plan) if still_fails(candidate)), plan)
    return plan


def _fewer(plan: Plan, field: str, fails: Fails) -> Plan:
    """Leave out halves, then quarters, down to single ones (Zeller and Hildebrandt, 2002: ddmin)."""
    items: Sequence[object] = getattr(plan, field)
    size = max(1, len(items) // 2)
    while items:
        start = 0
        while start < len(items):
            rest = (*items[:start], *items[start + size :])
            candidate = structs.replace(plan, **{field: rest})
            if fails(candidate):
                plan, items = candidate, rest
            else:
                start += size
        if size == 1:
            break
        size //= 2
    return plan


def _fewer_processes(plan: Plan) -> Iterator[Plan]:
    yield structs.replace(plan, trackers=1, collectors=1, partitions=1)
    yield structs.replace(plan, trackers=1)
    yield structs.replace(plan, collectors=1)
    yield structs.replace(plan, partitions=1)


def _plainer_settings(plan: Plan) -> Iterator[Plan]:
    yield structs.replace(plan, skews_ms=(0,) * len(plan.skews_ms), poll_records=100)
    yield structs.replace(plan, skews_ms=(0,) * len(plan.skews_ms))
    yield structs.replace(plan, poll_records=100)
    yield structs.replace(plan, standby=False)
    yield structs.replace(plan, kept_ms=-1)
    yield structs.replace(plan, failures_pause=False)


def _plainer_sagas(plan: Plan) -> Iterator[Plan]:
    for index, saga in enumerate(plan.sagas):
        for plainer in _plainer(saga):
            yield structs.replace(plan, sagas=(*plan.sagas[:index], plainer, *plan.sagas[index + 1 :]))


def _plainer(saga: SagaPlan) -> Iterator[SagaPlan]:
    yield structs.replace(saga, way="plain", copies=1, lag_ms=0, answers=("obey", "obey"), undo_ms=30)
    yield structs.replace(saga, way="plain")
    yield structs.replace(saga, copies=1)
    yield structs.replace(saga, lag_ms=0)
    yield structs.replace(saga, answers=("obey", "obey"))
    yield structs.replace(saga, echo_ms=-1)
    yield structs.replace(saga, parent="")
    yield structs.replace(saga, ship_ms=-1)


def _plainer_faults(plan: Plan) -> Iterator[Plan]:
    for index, fault in enumerate(plan.faults):
        plainer = structs.replace(fault, steps=0)
        yield structs.replace(plan, faults=(*plan.faults[:index], plainer, *plan.faults[index + 1 :]))


def _plainer_orders(plan: Plan) -> Iterator[Plan]:
    for index, order in enumerate(plan.orders):
        plainer = structs.replace(order, copies=1, behind_ms=0)
        yield structs.replace(plan, orders=(*plan.orders[:index], plainer, *plan.orders[index + 1 :]))


_PLAINER = (_fewer_processes, _plainer_settings, _plainer_sagas, _plainer_faults, _plainer_orders)
