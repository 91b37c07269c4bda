"""Effects as one step of a saga makes them, each under an id that a repeat of the step gives it again."""

from saga.core.ids import derived_id
from tracker.core.compensation import command_data
from tracker.core.course import Act, Course
from tracker.core.effect import Alert, Cause, Effect, Hold, Lifecycle, Publish, Reply, Stage
from tracker.core.flow import Emit, ExpressionFailed
from tracker.core.frame import CommandSeen
from tracker.core.subscriptions import Subscriptions
from tracker.core.timeline import Timeline


class Teller:
    """Collects what is wanted of the world.

    `place` tells two effects of one kind and saga apart: the rule and the event of a breach, the round
    of a compensation.
    """

    def __init__(self, saga_id: str, timeline: Timeline, subscriptions: Subscriptions, wall_ms: int) -> None:
        self._saga_id = saga_id
        self._timeline = timeline
        self._subscriptions = subscriptions
        self._wall_ms = wall_ms
        seen = None if timeline.root is None else timeline.step(timeline.root).seen
        self._key = "" if seen is None else seen.key
        self.effects: list[Effect] = []

    def stage(
        self,
        course: Course,
        stage: Stage,
        at_ms: int,
        *,
        place: str = "",
        rule: str = "",
        due_ms: int = -1,
        reason: str = "",
    ) -> None:
        """The saga has come to a stage."""
        self.effects.append(
            Lifecycle(
                derived_id(self._saga_id, f"tracker.{stage}.{place}", 0),
                self._saga_id,
                self._key,
                course.flow,
                course.flow_version,
                stage,
                at_ms,
                rule,
                due_ms,
                reason,
            )
        )

    def alert(
        self,
        course: Course,
        cause: Cause,
        message: str,
        *,
        place: str,
        at_ms: int | None = None,
        rule: str = "",
        event: str = "",
    ) -> None:
        """Somebody should look."""
        self.effects.append(
            Alert(
                derived_id(self._saga_id, f"tracker.alert.{cause}.{place}", 0),
                self._saga_id,
                self._key,
                course.flow,
                course.flow_version,
                cause,
                self._wall_ms if at_ms is None else at_ms,
                message,
                rule,
                event,
            )
        )

    def emit(
        self, course: Course, emit: Emit, event: str, *, place: str, reason: str, cause: str = ""
    ) -> str:
        """Publish what a flow file asks for because of `event`; its id, "" if it can't be made."""
        topic = self._subscriptions.topic_of(emit.type)
        step = self._timeline.known(event)
        try:
            if not topic:
                raise ExpressionFailed(f"no service announces {emit.type}, so its topic is not known")
            data = command_data(emit, self._timeline, self._saga_id, event, reason)
        except ExpressionFailed as error:
            self.alert(course, "undeliverable", f"{emit.type}: {error}", place=place, event=event)
            return ""
        event_id = derived_id(self._saga_id, f"tracker.{place}.{emit.type}", 0)
        key = "" if step is None or step.seen is None else step.seen.key
        self.effects.append(
            Publish(event_id, self._saga_id, topic, emit.type, cause or event, key, data, self._wall_ms)
        )
        return event_id

    def hold(self, act: Act, at_ms: int, *, released: bool) -> None:
        """Services are to leave the saga alone, or to go on with it."""
        effect_id = derived_id(act.command, "tracker.hold", 0)
        self.effects.append(Hold(effect_id, self._saga_id, act.by, act.reason, at_ms, released))

    def reply(self, command: CommandSeen, accepted: bool, message: str) -> None:
        """Tell the operator what became of a command."""
        self.effects.append(reply(self._saga_id, command, accepted, message))


def reply(saga_id: str, command: CommandSeen, accepted: bool, message: str) -> Reply:
    """The answer to a command."""
    return Reply(
        derived_id(command.id, "tracker.reply", 0), command.id, saga_id, accepted, message, command.at_ms
    )
