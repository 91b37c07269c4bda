"""A file against what services announce, against other files, and against what a cluster follows."""

from collections.abc import Iterable, Iterator, Sequence

from saga.core.receipt import ServiceAnnouncement
from tracker.core.correlation import Rule, Rules
from tracker.core.flow import Answer, Between, Emit, Flow, Flows, Undo, WhenDeadLetter, WhenEvent
from tracker.flow.correlate import contradicting_key, same_rule
from tracker.flow.parse import FlowFile, place_of, same_meaning
from tracker.flow.problem import Problem, nearest
from tracker.flow.reading import FieldPath

_Found = tuple[FieldPath, str, str]


def check(file: FlowFile, announcements: Iterable[ServiceAnnouncement]) -> tuple[Problem, ...]:
    """What the file says of services and events and they do not. A draft is checked as far as it goes."""
    if file.draft is None:
        return ()
    checking = _Checking(file.draft, announcements)
    found: set[Problem] = set()
    for path, message, suggestion in checking.all():
        where = file.keys if path[:1] == ("events",) and len(path) == 2 else file.places
        place = place_of(where, path)
        found.add(Problem(file.file, place.line, place.column, message, suggestion))
    return tuple(sorted(found))


def check_together(files: Sequence[FlowFile]) -> tuple[Problem, ...]:
    """Versions and rules that stand in two files, and different flows that begin with the same event."""
    versions: dict[tuple[str, int], FlowFile] = {}
    found: list[Problem] = []
    for file in files:
        draft = file.draft
        if draft is None or not draft.name or draft.version < 0:
            continue
        first = versions.setdefault((draft.name, draft.version), file)
        if first is not file:
            message = f"{first.file} has {draft.name}@{draft.version} already: raise `version`, or remove one"
            found.append(_problem(file, ("version",), message))
    newest: dict[str, FlowFile] = {}
    for (name, _), file in sorted(versions.items(), key=lambda item: item[0]):
        newest[name] = file
    beginning: dict[str, FlowFile] = {}
    for file in files:
        draft = file.draft
        if draft is None or not draft.begins or newest.get(draft.name) is not file:
            continue
        first = beginning.setdefault(draft.begins, file)
        if first is not file and first.draft is not None:
            other = f"the flow {first.draft.name} in {first.file}"
            message = f"`{draft.begins}` begins {other} already: an event begins one flow"
            found.append(_problem(file, ("begins",), message))
    rules: dict[str, FlowFile] = {}
    for file in files:
        if file.rule is not None and (first := rules.setdefault(file.rule.name, file)) is not file:
            message = f"{first.file} has the rule {file.rule.name} already: rename or remove one"
            found.append(_problem(file, ("correlate",), message))
    keyed = [(file, file.rule) for file in files if file.rule is not None and file.rule.keys]
    for number, (file, _) in enumerate(keyed):
        wrong = (_other_keys(file, rule, earlier.file) for earlier, rule in keyed[:number])
        found += [problem for problem in wrong if problem is not None][:1]
    return tuple(sorted(found))


def check_against(file: FlowFile, known: Flows, rules: Rules | None = None) -> tuple[Problem, ...]:
    """Whether a file says something else than what a cluster follows under the same name."""
    if file.rule is not None:
        for each in rules or ():
            if (wrong := _other_keys(file, each, "this cluster")) is not None:
                return (wrong,)
        followed = None if rules is None else rules.get(file.rule.name)
        if followed is None or followed.version != file.rule.version or same_rule(followed, file.rule):
            return ()
        named = f"version {file.rule.version} of the rule {file.rule.name}"
        return (
            _problem(file, ("version",), f"{named} says something else in this cluster: raise `version`"),
        )
    flow = file.draft
    if flow is None:
        return ()
    same = known.get(flow.name, flow.version)
    if same is not None:
        if file.flow is None or same_meaning(same, file.flow):
            return ()
        message = f"{flow.name}@{flow.version} says something else in this cluster: raise `version`"
        return (_problem(file, ("version",), message),)
    other = known.beginning(flow.begins)
    if other is not None and other.name != flow.name:
        retire = f"`saga flows retire {other.name}` ends that"
        message = f"`{flow.begins}` begins the flow {other.name} in this cluster: {retire}"
        return (_problem(file, ("begins",), message),)
    return ()


def _other_keys(file: FlowFile, other: Rule, where: str) -> Problem | None:
    """What is wrong where a rule names a key of another one and not the same ones in the same order."""
    name = "" if file.rule is None else contradicting_key(file.rule, other)
    if not name:
        return None
    keys = ", ".join(key for key, _ in other.keys)
    message = f"the rule {other.name} in {where} has `{name}` too, beside {keys}: name them in its order"
    place = file.keys.get(("saga", "keys", name)) or place_of(file.keys, ("saga", 0, "keys", name))
    return Problem(file.file, *place, message)


class _Checking:
    """One flow and the services, from all sides."""

    def __init__(self, flow: Flow, announcements: Iterable[ServiceAnnouncement]) -> None:
        self._flow = flow
        self._services = {announcement.service: announcement for announcement in announcements}
        self._published: dict[str, set[str]] = {}
        self._handled: dict[str, set[str]] = {}
        self._topics: dict[str, set[str]] = {}
        for name, service in self._services.items():
            for publication in service.publishes:
                self._published.setdefault(publication.type, set()).add(name)
                self._topics.setdefault(publication.type, set()).add(publication.topic)
            for subscription in service.subscribes:
                self._handled.setdefault(subscription.type, set()).add(name)
                self._topics.setdefault(subscription.type, set()).add(subscription.topic)
        self._ours = {emit.type for _, emit in _emits(flow)}

    def all(self) -> Iterator[_Found]:
        flow = self._flow
        yield from self._event(("begins",), flow.begins, outside=True)
        for name, types in (("completed", flow.completed), ("failed", flow.failed)):
            for number, event in enumerate(types):
                yield from self._event(("ends", name, number), event)
        for event, milestone in flow.events.items():
            path: FieldPath = ("events", event)
            yield from self._event(path, event, outside=event == flow.begins)
            yield from self._publisher((*path, "by"), milestone.by, event)
            if milestone.undo is not None:
                yield from self._undo(path, milestone.undo)
        for number, rule in enumerate(flow.rules):
            if isinstance(rule, Between):
                yield from self._event(("sla", number, "from"), rule.start, outside=rule.start == flow.begins)
                for place, event in enumerate(rule.ends):
                    yield from self._event(("sla", number, "to", place), event)
            elif isinstance(rule, Answer):
                yield from self._event(
                    ("sla", number, "event"), rule.event, outside=rule.event == flow.begins
                )
                yield from self._handler(("sla", number, "by"), rule.service, rule.event)
        for number, trigger in enumerate(flow.compensation.triggers):
            path = ("compensate", "when", number)
            if isinstance(trigger, WhenEvent):
                yield from self._event((*path, "event"), trigger.type)
            elif isinstance(trigger, WhenDeadLetter):
                for place, service in enumerate(trigger.services):
                    yield from self._service((*path, "dead_letter", place), service)
        for number, pause in enumerate(flow.pauses):
            if isinstance(pause, WhenDeadLetter):
                for place, service in enumerate(pause.services):
                    yield from self._service(("pause", "when", number, "dead_letter", place), service)
        for path, emit in _emits(flow):
            yield from self._topic(path, emit)
        yield from self._reachable()

    def _event(self, path: FieldPath, event: str, *, outside: bool = False) -> Iterator[_Found]:
        """It exists, and somebody publishes it: a service, the tracker, or others where that may be."""
        if not event or event in self._published or event in self._ours:
            return
        if event not in self._topics:
            suggestion = nearest(event, self._published.keys() | self._ours)
            yield path, f"no service publishes or handles `{event}`", suggestion
        elif not outside:
            yield path, f"no service publishes `{event}`", ""

    def _service(self, path: FieldPath, service: str) -> Iterator[_Found]:
        if service and service not in self._services:
            known = ", ".join(sorted(self._services)) or "none"
            yield (
                path,
                f"there is no service `{service}`; known are: {known}",
                nearest(service, self._services),
            )

    def _publisher(self, path: FieldPath, service: str, event: str) -> Iterator[_Found]:
        yield from self._service(path, service)
        publishers = self._published.get(event, set())
        if service in self._services and service not in publishers:
            who = f", {_listed(publishers)} publishes it" if publishers else ""
            yield path, f"`{service}` does not publish `{event}`{who}", _only(publishers)

    def _handler(self, path: FieldPath, service: str, event: str) -> Iterator[_Found]:
        yield from self._service(path, service)
        handlers = self._handled.get(event, set())
        if event and service in self._services and service not in handlers:
            who = f", {_listed(handlers)} handles it" if handlers else ", and nobody else does"
            yield path, f"`{service}` does not handle `{event}`{who}", _only(handlers)

    def _undo(self, path: FieldPath, undo: Undo) -> Iterator[_Found]:
        command = undo.command.type
        handlers = self._handled.get(command, set())
        if not command:
            return
        if not handlers:
            suggestion = nearest(command, self._handled)
            yield (*path, "undo"), f"no service handles the command `{command}`", suggestion
        elif undo.confirmed:
            answers = self._answers(command)
            if undo.confirmed not in answers:
                known = f": it publishes {_listed(answers)}" if answers else ""
                message = f"`{undo.confirmed}` does not come from who handles `{command}`{known}"
                yield (*path, "undone"), message, _only(answers) or nearest(undo.confirmed, answers)

    def _answers(self, event: str) -> set[str]:
        """What handlers of an event publish."""
        return {
            publication.type
            for service in self._services.values()
            for subscription in service.subscribes
            if subscription.type == event
            for publication in service.publishes
            if publication.handler in (subscription.handler, "")
        }

    def _topic(self, path: FieldPath, emit: Emit) -> Iterator[_Found]:
        """The tracker has to know where to publish."""
        topics = self._topics.get(emit.type, set())
        if emit.type and not topics and "undo" not in path:
            suggestion = nearest(emit.type, self._topics)
            message = f"no service publishes or handles `{emit.type}`, so its topic is unknown"
            yield path, message, suggestion
        if len(topics) > 1:
            yield path, f"services use `{emit.type}` on several topics, {_listed(topics)}: give it one", ""

    def _reachable(self) -> Iterator[_Found]:
        """Whether handlers, one after the other, lead from the begin to an end that is no failure."""
        if not self._flow.begins or self._flow.begins not in self._handled:
            if self._flow.begins in self._topics:
                yield ("begins",), f"no service handles `{self._flow.begins}`: nothing would follow it", ""
            return
        # What services publish outside of their handlers may come at any time.
        outside = {
            each.type for service in self._services.values() for each in service.publishes if not each.handler
        }
        reached: set[str] = set()
        waiting = {self._flow.begins, *outside, *self._ours}
        while waiting:
            event = waiting.pop()
            reached.add(event)
            waiting |= self._answers(event) - reached
        for number, event in enumerate(self._flow.completed):
            if event in self._published and event not in reached:
                message = f"no chain of handlers leads from `{self._flow.begins}` to `{event}`"
                yield ("ends", "completed", number), message, ""


def _emits(flow: Flow) -> Iterator[tuple[FieldPath, Emit]]:
    """What the tracker itself publishes."""
    for name, milestone in flow.events.items():
        if milestone.undo is not None:
            yield ("events", name, "undo"), milestone.undo.command
    for number, rule in enumerate(flow.rules):
        if rule.on_breach.emit is not None:
            yield ("sla", number, "on_breach"), rule.on_breach.emit
    if flow.compensation.then is not None:
        yield ("compensate", "then"), flow.compensation.then


def _problem(file: FlowFile, path: FieldPath, message: str) -> Problem:
    place = place_of(file.places, path)
    return Problem(file.file, place.line, place.column, message)


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in sorted(names))


def _only(names: Iterable[str]) -> str:
    """The one name there is."""
    found = list(names)
    return found[0] if len(found) == 1 else ""
