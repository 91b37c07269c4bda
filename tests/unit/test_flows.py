"""Which flow an event begins, and which version a saga follows."""

from hypothesis import given
from hypothesis import strategies as st

from tracker.core.flow import Flow, Flows

versions = st.dictionaries(
    st.tuples(st.sampled_from(["order", "refund", "stock"]), st.integers(1, 9)),
    st.sampled_from(["order.placed", "order.accepted", "refund.asked"]),
    max_size=12,
).map(lambda found: tuple(Flow(name, version, begins, ("end",)) for (name, version), begins in found.items()))


@given(versions)
def test_every_version_is_found_and_no_other(flows: tuple[Flow, ...]) -> None:
    known = Flows(flows)

    assert sorted(flow.version for flow in known) == sorted(flow.version for flow in flows)
    for flow in flows:
        assert known.get(flow.name, flow.version) is flow
    assert known.get("order", 10) is None
    assert known.get("nobody", 1) is None


@given(versions)
def test_an_event_begins_the_newest_version_of_a_flow_or_nothing(flows: tuple[Flow, ...]) -> None:
    known = Flows(flows)

    for event in ("order.placed", "order.accepted", "refund.asked"):
        begun = known.beginning(event)
        newest = {flow.name: flow for flow in sorted(flows, key=lambda flow: flow.version)}
        wanting = [flow for flow in newest.values() if flow.begins == event]
        assert (begun is None) == (not wanting)
        assert begun is None or begun in wanting


@given(versions)
def test_the_order_in_which_flows_are_read_does_not_matter(flows: tuple[Flow, ...]) -> None:
    turned = Flows(flows[::-1])

    for event in ("order.placed", "order.accepted", "refund.asked"):
        assert Flows(flows).beginning(event) == turned.beginning(event)


@given(versions)
def test_a_retired_flow_begins_nothing_but_keeps_its_versions(flows: tuple[Flow, ...]) -> None:
    retired = frozenset((flow.name, flow.version) for flow in flows)
    known = Flows(flows, retired)

    assert all(known.beginning(flow.begins) is None for flow in flows)
    assert all(known.get(flow.name, flow.version) is flow for flow in flows)


def test_a_newer_version_takes_a_retired_flow_up_again() -> None:
    one, two = (Flow("order", version, "order.placed", ("end",)) for version in (1, 2))

    assert Flows((one, two), frozenset([("order", 1)])).beginning("order.placed") is two
    assert Flows((one, two), frozenset([("order", 2)])).beginning("order.placed") is None
    assert Flows((one, two)).newest("order") is two
