"""What files of flows and of correlation rules may contain: each field, its value, and what it means.

One description for three readers: the parser, the JSON Schema for editors and the test that the
documentation names every field.
"""

from dataclasses import dataclass

from tracker.flow.expression import EVENT_VARIABLES, SAGA_VARIABLES, UNDO_VARIABLES

ITEMS_MAX = 100
EVENTS_MAX = 200
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Word:
    """A name. `what` says of what, `rule` how it is written."""

    what: str
    pattern: str
    rule: str


@dataclass(frozen=True)
class Text:
    """Any text."""

    length_max: int


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    least: int
    most: int


@dataclass(frozen=True)
class Truth:
    """`true` or `false`."""


@dataclass(frozen=True)
class Yes:
    """`true`, and nothing else: who means no leaves the field out."""


@dataclass(frozen=True)
class Choice:
    """One of these words."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """A duration; as a rule the only one, `percent` also allows a part of another."""

    most_ms: int = 366 * _DAY_MS
    percent: bool = False


@dataclass(frozen=True)
class Cel:
    """An expression that may use these variables."""

    variables: tuple[str, ...]
    condition: bool = False


@dataclass(frozen=True)
class JsonPath:
    """A path to one value of a JSON document."""


@dataclass(frozen=True)
class Some:
    """One value or a list of them; `least` 0 allows an empty list."""

    item: "Kind"
    least: int = 1


@dataclass(frozen=True)
class Each:
    """A list."""

    item: "Kind"


@dataclass(frozen=True)
class Table:
    """Names of the user's own with their values."""

    key: Word
    value: "Kind"
    most: int


@dataclass(frozen=True)
class Field:
    """A field of a form. `default` is as it would be written, "" if there is none."""

    name: str
    kind: "Kind"
    meaning: str
    required: bool = False
    default: str = ""


@dataclass(frozen=True)
class Form:
    """A mapping with these fields and no others."""

    title: str
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True)
class Short:
    """A form, or a single value where nothing else is to be said."""

    single: "Kind"
    form: Form


@dataclass(frozen=True)
class Variants:
    """One of several forms: the first of which a marking field stands there, else the last."""

    marked: tuple[tuple[tuple[str, ...], Form], ...]

    @property
    def forms(self) -> tuple[Form, ...]:
        return tuple(form for _, form in self.marked)

    def chosen(self, names: frozenset[str]) -> Form:
        return next((form for marks, form in self.marked if names.intersection(marks)), self.forms[-1])


Single = Word | Text | Whole | Truth | Yes | Choice | Span | Cel | JsonPath
Kind = Single | Some | Each | Table | Form | Short | Variants

NAME = Word("name", r"[a-z][a-z0-9-]{0,63}", "lower case letters, digits and hyphens, such as charge-fast")
EVENT = Word(
    "event type",
    r"[A-Za-z][A-Za-z0-9_./:-]{0,199}",
    "a letter, then letters, digits and any of . _ - / :, such as order.placed",
)
SERVICE = Word(
    "service", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", "letters, digits and any of . _ -, such as payments"
)
FIELD = Word("field", r"[A-Za-z_][A-Za-z0-9_-]{0,127}", "letters, digits, _ and -, such as order_id")


def _emit(title: str, name: str, variables: tuple[str, ...], default: str) -> Form:
    return Form(
        title,
        (
            Field(name, EVENT, "Type of the event.", required=True),
            Field(
                "with",
                Table(FIELD, Cel(variables), ITEMS_MAX),
                "Its fields, each with a CEL expression for its value.",
                default=default,
            ),
        ),
    )


UNDO = _emit("undo", "event", UNDO_VARIABLES, "the payload of the event that is undone")
THEN = _emit("then", "event", SAGA_VARIABLES, "the payload of the event that began the saga")
EMIT = _emit("emit", "emit", SAGA_VARIABLES, "the payload of the event that began the saga")

MILESTONE = Form(
    "event",
    (
        Field("by", SERVICE, "The service that publishes it."),
        Field("undo", Short(EVENT, UNDO), "The command that undoes it, sent when the saga is compensated."),
        Field("undone", EVENT, "The event that confirms the undo. Required with `undo`."),
        Field("undo_within", Span(), "How long one attempt to undo it may take.", default="1m"),
        Field("undo_attempts", Whole(1, 100), "How often the undo is attempted.", default="3"),
        Field(
            "pivot",
            Truth(),
            "The point of no return: once this event has come, nothing of the saga is undone by itself.",
            default="false",
        ),
    ),
)

_ON_BREACH = Field(
    "on_breach",
    Some(Short(Choice(("alert", "compensate")), EMIT), least=0),
    "What is done when the deadline passes: `alert` tells it on `saga.alerts`, `compensate` undoes the "
    "saga, `emit` publishes an event. A breach is told on `saga.lifecycle` whatever stands here.",
    default="[alert]",
)
_RULE_NAME = Field("name", NAME, "Name of the rule, unique in the file.", required=True)
_WARN_AT = Field(
    "warn_at",
    Span(percent=True),
    "When to warn before the breach: percent of the deadline, or a duration after the start.",
)
_WITHIN = Field("within", Span(), "The deadline, counted from the start.", required=True)

BETWEEN = Form(
    "between",
    (
        _RULE_NAME,
        Field(
            "from",
            EVENT,
            "The clock starts with the first event of this type.",
            default="the event that begins the flow",
        ),
        Field(
            "to",
            Some(EVENT),
            "The clock stops with the first event of one of these types.",
            default="the end of the saga",
        ),
        _WITHIN,
        _WARN_AT,
        _ON_BREACH,
    ),
)
SILENCE = Form(
    "silence",
    (
        _RULE_NAME,
        Field("silence", Span(), "So long without any event of the saga is a breach.", required=True),
        _WARN_AT,
        _ON_BREACH,
    ),
)
ANSWER = Form(
    "answer",
    (
        _RULE_NAME,
        Field("event", EVENT, "The event that is to be handled. Each has a clock.", required=True),
        Field("by", SERVICE, "The service that has to be done with it.", required=True),
        _WITHIN,
        _WARN_AT,
        _ON_BREACH,
    ),
)
RULE = Variants(((("silence",), SILENCE), (("event", "by"), ANSWER), ((), BETWEEN)))

WHEN_EVENT = Form(
    "on an event",
    (
        Field("event", EVENT, "Compensate when an event of this type comes.", required=True),
        Field(
            "if",
            Cel(EVENT_VARIABLES, condition=True),
            "Only if this CEL condition holds for it.",
            default="always",
        ),
    ),
)
WHEN_DEAD_LETTER = Form(
    "on a dead letter",
    (
        Field(
            "dead_letter",
            Some(SERVICE),
            "Compensate when one of these services gives an event of the saga up; `any`: whichever.",
            required=True,
        ),
    ),
)
WHEN_BREACH = Form(
    "on a breach",
    (Field("breach", NAME, "Compensate when this rule of `sla` is breached.", required=True),),
)
TRIGGER = Variants(((("dead_letter",), WHEN_DEAD_LETTER), (("breach",), WHEN_BREACH), ((), WHEN_EVENT)))

COMPENSATE = Form(
    "compensate",
    (
        Field("when", Each(TRIGGER), "What starts the compensation; operators always can.", default="[]"),
        Field(
            "order",
            Choice(("reverse", "parallel")),
            "`reverse`: the newest event is undone first, each after the other is confirmed. `parallel`: "
            "all at once.",
            default="reverse",
        ),
        Field("then", Short(EVENT, THEN), "The event that is published when all is undone."),
    ),
)

PAUSE_ON_DEAD_LETTER = Form(
    "pause on a dead letter",
    (
        Field(
            "dead_letter",
            Some(SERVICE),
            "Pause when one of these services gives an event of the saga up; `any`: whichever.",
            required=True,
        ),
    ),
)
PAUSE_ON_RETRIES = Form(
    "pause on failures",
    (
        Field(
            "retries",
            Whole(1, 1_000),
            "Pause when a handler has failed so many times with one event and is going to try again.",
            required=True,
        ),
    ),
)
PAUSE = Form(
    "pause",
    (
        Field(
            "when",
            Each(Variants(((("retries",), PAUSE_ON_RETRIES), ((), PAUSE_ON_DEAD_LETTER)))),
            "What pauses a saga until an operator lets it go on; operators always can.",
            required=True,
        ),
    ),
)

ENDS = Form(
    "ends",
    (
        Field("completed", Some(EVENT), "Events with which the saga has done what it is for.", required=True),
        Field("failed", Some(EVENT), "Events with which it has failed."),
    ),
)

FLOW = Form(
    "flow",
    (
        Field("flow", NAME, "Name of the flow.", required=True),
        Field(
            "version",
            Whole(1, 1_000_000),
            "Raise it with each change. A saga keeps the version that it began with; new sagas begin with "
            "the newest one.",
            required=True,
        ),
        Field("description", Text(2000), "What the flow is for."),
        Field("begins", EVENT, "The event that begins a saga of this flow.", required=True),
        Field("ends", ENDS, "The events that end it.", required=True),
        Field("events", Table(EVENT, MILESTONE, EVENTS_MAX), "What is to be known of single events."),
        Field("sla", Each(RULE), "Deadlines."),
        Field("compensate", COMPENSATE, "When and how sagas are undone."),
        Field("pause", PAUSE, "When a saga is to stand still until somebody has looked."),
    ),
)

TOPIC = Word(
    "topic",
    r"[A-Za-z0-9._*-]{1,249}",
    "letters, digits and any of . _ -, and * for any characters, such as orders or legacy.*",
)
LINE = Word("text", r"[^\r\n]{1,256}", "one line of 1 to 256 characters")
HEADER = Word("header", r"\S{1,200}", "without blanks, such as x-request-id")

_HEADER = Field("header", HEADER, "The header of this name.", required=True)
_KEY = Field("key", Yes(), "The key of the record.", required=True)
_PATH = Field(
    "path", JsonPath(), "The value at this JSONPath (RFC 9535) in the record's JSON.", required=True
)
_PREFIX = Field("prefix", Text(64), "Put in front of what is found.")
_UNIT = Field(
    "unit",
    Choice(("s", "ms", "us", "ns")),
    "What a number counts since 1970. A text is read as ISO 8601, in UTC if it names no zone.",
    default="ms",
)

FROM_HEADER = Form("from a header", (_HEADER, _PREFIX))
FROM_KEY = Form("from the key", (_KEY, _PREFIX))
FROM_PATH = Form("from the JSON", (_PATH, _PREFIX))
CONSTANT = Form("always the same", (Field("value", LINE, "This text, for each record.", required=True),))
_MARKED = ((("header",), FROM_HEADER), (("key",), FROM_KEY), (("value",), CONSTANT))
_UNMARKED = ((), FROM_PATH)
PLACE = Some(Variants((*_MARKED, _UNMARKED)))
KEY_NAME = Word("key", r"[a-z][a-z0-9_-]{0,31}", "lower case letters, digits, _ and -, such as order")
KEYS_MAX = 8
KEYS = Form(
    "several keys",
    (
        Field(
            "keys",
            Table(KEY_NAME, PLACE, KEYS_MAX),
            "Keys by name, the leading one first. What a record names by several of them is one saga.",
            required=True,
        ),
    ),
)
SAGA = Some(Variants((*_MARKED, (("keys",), KEYS), _UNMARKED)))
TIME_FROM_HEADER = Form("a time from a header", (_HEADER, _UNIT))
TIME_FROM_PATH = Form("a time from the JSON", (_PATH, _UNIT))
TIME = Some(Variants(((("header",), TIME_FROM_HEADER), ((), TIME_FROM_PATH))))

CORRELATION = Form(
    "correlation rule",
    (
        Field("correlate", NAME, "Name of the rule.", required=True),
        Field(
            "version",
            Whole(1, 1_000_000),
            "Raise it with each change. The newest one counts, for what is read from then on.",
            required=True,
        ),
        Field("description", Text(2000), "What the rule is for."),
        Field("topics", Some(TOPIC), "Where the rule is for records that are no CloudEvents.", required=True),
        Field("saga", SAGA, "The id of the saga: the same for all of its events.", required=True),
        Field("type", PLACE, "The type of the event.", required=True),
        Field("id", PLACE, "The id of the event.", default="topic, partition and offset"),
        Field("time", TIME, "When it happened.", default="the time of the record"),
        Field("cause", PLACE, "The id of the event that caused it.", default="none: it begins the saga"),
        Field("key", PLACE, "The business key, for people.", default="the key of the record"),
        Field("source", PLACE, "Who published it.", default="the topic"),
    ),
)
