"""The rights that each part needs, as words, as commands, and as docs/security.md has them."""

import re
import shlex
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from saga import Event, Retry, Service
from saga.core.access import Right, creations, grants, lacks, service_rights
from tracker.runtime.access import (
    dashboard_rights,
    operator_rights,
    projector_rights,
    redrive_rights,
    tracker_rights,
    viewer_rights,
    webhook_rights,
)

DOCS = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
PARTS = {
    "a service": None,
    "`tracker`": tracker_rights("all", ["*read*"], ["*undone*"]),
    "`collector`": tracker_rights("collector", ["*read*"]),
    "`webhooks`": webhook_rights(read=["*read*"]),
    "`project`": projector_rights(["*read*"]),
    "`dashboard`": dashboard_rights(["*read*"]),
    "`viewer`": viewer_rights(),
    "`operator`": operator_rights(),
    "`dlq`": redrive_rights(["*read*"]),
}


class Asked(Event, topic="*read*", type="rights.asked", version=1, key="question"):
    question: str


class Answered(Event, topic="*published*", type="rights.answered", version=1, key="question"):
    question: str


def answering(name: str = "pay", guarantee: str = "exactly-once") -> Service:
    service = Service(name, guarantee=guarantee)  # type: ignore[arg-type]

    @service.on(Asked, retry=Retry(attempts=3, delays=["100ms", "10s"]))
    async def answer(asked: Asked) -> Answered:
        return Answered(question=asked.question)

    return service


def table() -> str:
    """What docs/security.md must have."""
    service = {
        Right(
            right.resource,
            re.sub(r"\bpay\b(\.10s)?", _service_part, right.name),
            right.operation,
            right.prefixed,
        ): 0
        for right in service_rights(answering())
    }
    lines = ["| part | topics | groups and transactional ids |", "| --- | --- | --- |"]
    for part, rights in PARTS.items():
        needed = tuple(service) if rights is None else rights
        topics = _cell([right for right in needed if right.resource == "topic"])
        others = _cell([right for right in needed if right.resource != "topic"])
        lines.append(f"| {part} | {topics} | {others} |")
    return "\n".join(lines) + "\n"


def _service_part(found: re.Match[str]) -> str:
    return "SERVICE.DELAY" if found[1] else "SERVICE"


def _cell(rights: list[Right]) -> str:
    together: dict[str, list[str]] = {}
    for right in rights:
        together.setdefault(right.operation, []).append(_name(right))
    return "; ".join(f"{operation}: {', '.join(names)}" for operation, names in together.items())


def _name(right: Right) -> str:
    if right.name.startswith("*"):
        return right.name
    return f"`{right.name}{'…' if right.prefixed else ''}`"


def test_the_documented_rights_are_those_that_are_printed() -> None:
    assert DOCS.split("<!-- rights -->\n")[1].split("<!-- /rights -->")[0] == table()


def test_a_service_needs_no_transactional_id_at_least_once_and_no_group_without_handlers() -> None:
    once = {right.resource for right in service_rights(answering())}
    least = {right.resource for right in service_rights(answering(guarantee="at-least-once"))}
    door = service_rights(Service("door", publishes=[Asked]))

    assert once == {"topic", "group", "transactional-id"}
    assert least == {"topic", "group"}
    assert door == (Right("topic", "*read*", "Write"), Right("topic", "saga.services", "Write"))


RIGHTS = st.lists(
    st.builds(
        Right,
        st.sampled_from(["topic", "group", "transactional-id"]),
        st.text("abc.-_", min_size=1, max_size=4).map(lambda text: f"n{text}"),
        st.sampled_from(["Read", "Write", "Create", "Describe"]),
        st.booleans(),
    ),
    max_size=12,
)


@given(RIGHTS, st.text(min_size=1))
def test_the_commands_give_each_right_and_no_other(rights: list[Right], name: str) -> None:
    granted: list[Right] = []
    for command in grants(rights, f"User:{name}", "kafka:9092"):
        words = shlex.split(command)
        given_ = list(zip(words[4::2], words[5::2], strict=True))
        assert words[:4] == ["kafka-acls.sh", "--bootstrap-server", "kafka:9092", "--add"]
        assert given_[0] == ("--allow-principal", f"User:{name}")
        prefixed = ("--resource-pattern-type", "prefixed") in given_
        for option, value in given_:
            if option in ("--topic", "--group", "--transactional-id"):
                for other, operation in given_:
                    if other == "--operation":
                        granted.append(Right(option[2:], value, operation, prefixed))  # type: ignore[arg-type]
    assert sorted(granted) == sorted(set(rights))


def test_who_lacks_rights_is_told_which_and_how_to_get_them() -> None:
    told = lacks(
        "User:CN=pay, O=Shop",
        [
            Right("topic", "a", "Write"),
            Right("topic", "b", "Write"),
            Right("group", "pay", "Read"),
            Right("transactional-id", "saga-pay-", "Write", prefixed=True),
        ],
        "kafka:9092",
    )

    add = "kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal 'User:CN=pay, O=Shop'"
    assert told == (
        "User:CN=pay, O=Shop lacks Write on the topics a, b; Read on the group pay; Write on the "
        "transactional-id saga-pay-*. Who administers Kafka grants it with: "
        f"{add} --operation Write --topic a --topic b && {add} --operation Read --group pay && "
        f"{add} --operation Write --transactional-id saga-pay- --resource-pattern-type prefixed"
    )


def test_topics_that_are_needed_may_be_made_with_one_right_each() -> None:
    rights = [Right("topic", "a", "Read"), Right("topic", "a", "Write"), Right("group", "g", "Read")]

    assert creations(rights) == (Right("topic", "a", "Create"),)
