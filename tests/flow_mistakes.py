"""A flow file that is right, and ways to get it wrong: for the parser and for the schema of editors."""

from typing import NamedTuple

FLOW_TEXT = """\
flow: order
version: 1
description: From the order to the parcel.
begins: order.placed
ends:
  completed: parcel.dispatched
  failed: [order.cancelled]
events:
  stock.reserved:
    by: inventory
    undo: stock.release
    undone: stock.released
  payment.charged:
    by: payments
    undo: {event: payment.refund, with: {order_id: data.order_id, cents: data.amount * 100.0}}
    undone: payment.refunded
    undo_within: 30s
    undo_attempts: 5
  parcel.dispatched: {pivot: true}
sla:
  - {name: charge-fast, from: stock.reserved, to: payment.charged, within: 5s, warn_at: 80%}
  - {name: ship-on-time, within: 30m, warn_at: 25m, on_breach: [alert, compensate]}
  - {name: not-quiet, silence: 5m, on_breach: [{emit: order.forgotten, with: {order_id: first.order_id}}]}
  - {name: stock-answers, event: order.placed, by: inventory, within: 2s, on_breach: []}
compensate:
  when:
    - event: payment.declined
    - event: parcel.lost
      if: data.value > 100
    - dead_letter: any
    - breach: ship-on-time
  order: parallel
  then: {event: order.cancelled, with: {order_id: first.order_id, reason: reason}}
"""


class Mistake(NamedTuple):
    """`right` is replaced by `wrong`, which is told at this place. `schema`: an editor marks it too."""

    right: str
    wrong: str
    line: int
    column: int
    message: str
    suggestion: str = ""
    schema: bool = True


MISTAKES = [
    # Fields.
    Mistake("version: 1", "vesion: 1", 2, 1, "a flow has no field `vesion`", "version"),
    Mistake("version: 1\n", "", 1, 1, "`version` is missing"),
    Mistake("    by: payments", "    buy: payments", 14, 5, "has no field `buy`", "by"),
    Mistake("within: 5s", "colour: red, within: 5s", 21, 68, "has no field `colour`; it has name, from, to"),
    Mistake("name: charge-fast, ", "", 21, 5, "`name` is missing in item 1 of `sla`"),
    Mistake("silence: 5m", "silence: 5m, to: a.b", 23, 36, "`to` does not go with the other fields"),
    Mistake(
        "- breach: ship-on-time",
        "- breach: ship-on-time\n      if: reason == ''",
        32,
        7,
        "`if` does not go with",
    ),
    # Shapes.
    Mistake(
        "  completed: parcel.dispatched",
        "  completed: {}",
        6,
        14,
        "`completed` is a single value, not a mapping",
    ),
    Mistake("failed: [order.cancelled]", "failed: []", 7, 11, "`failed` is an empty list"),
    Mistake("{pivot: true}", "true", 19, 22, "`parcel.dispatched` is a mapping with `by`"),
    Mistake(
        "  when:\n    - event: payment.declined",
        "  when:\n    event: payment.declined",
        28,
        5,
        "no YAML",
        schema=False,
    ),
    Mistake(
        "{order_id: data.order_id, cents: data.amount * 100.0}",
        "[]",
        15,
        41,
        "`with` is a mapping of fields, not a list",
    ),
    Mistake("cents: data.amount * 100.0", "cents: [1]", 15, 74, "`cents` is a CEL expression in quotes"),
    Mistake(
        "description: From the order to the parcel.", "description:", 3, 13, "`description` has no value"
    ),
    # Values.
    Mistake("flow: order", "flow: Order!", 1, 7, "`Order!` can't be a name: lower case letters"),
    Mistake("begins: order.placed", "begins: 1st", 4, 9, "`1st` can't be an event type"),
    Mistake("version: 1", 'version: "1"', 2, 10, 'not `"1"`'),
    Mistake("version: 1", "version: 0", 2, 10, "a whole number from 1 to 1,000,000"),
    Mistake("undo_attempts: 5", "undo_attempts: 101", 18, 20, "a whole number from 1 to 100"),
    Mistake(
        "within: 30m", "within: 30", 22, 34, "`within` is a duration, and `30` is none: write a number and"
    ),
    Mistake("undo_within: 30s", "undo_within: 0s", 17, 18, "a duration from 1ms to 366d", schema=False),
    Mistake("warn_at: 80%", "warn_at: 100%", 21, 89, "or 1% to 99%"),
    Mistake("{pivot: true}", "{pivot: 'yes'}", 19, 30, "`pivot` is true or false", "true"),
    Mistake("order: parallel", "order: paralel", 32, 10, "`order` is reverse or parallel", "parallel"),
    Mistake(
        "[alert, compensate]", "[alert, compensation]", 22, 72, "is alert or compensate, not", "compensate"
    ),
    # Expressions.
    Mistake("data.value > 100", "dta.value > 100", 29, 11, "`dta` is unknown", "data.value", schema=False),
    Mistake("data.value > 100", "data.value >", 29, 23, "this is no CEL", schema=False),
    Mistake(
        "data.value > 100",
        "size(data)",
        29,
        11,
        "a condition is true or false, and this is an int",
        schema=False,
    ),
    Mistake("data.value > 100", '"data.order && dat"', 29, 26, "`dat` is unknown", "data", schema=False),
    Mistake(
        "reason: reason", "reason: data.why", 33, 75, "`data` is not known here, only `first`", schema=False
    ),
    Mistake(
        "reason: reason",
        "reason: saga.id + saga.ky",
        33,
        85,
        "`saga.ky` is unknown",
        "saga.key",
        schema=False,
    ),
    Mistake("reason: reason", "reason: sise(reason)", 33, 75, "no function sise", "size", schema=False),
    Mistake("reason: reason", "reason: duration('1s')", 33, 75, "JSON has no duration", schema=False),
    Mistake("data.value > 100", f"'{'1 + ' * 300}1 > 0'", 29, 12, "1,000 are the most"),
    # YAML.
    Mistake(
        "version: 1",
        "version: 1\nversion: 2",
        3,
        1,
        "`version` stands here twice, first in line 2",
        schema=False,
    ),
    Mistake("by: inventory", "by: &who inventory", 10, 9, "anchors are not taken", schema=False),
    Mistake("by: inventory", "by: !!str inventory", 10, 9, "is not taken here", schema=False),
    Mistake("flow: order", "flow: @order", 1, 7, "put the value in quotes", schema=False),
    Mistake("  completed: parcel", "\tcompleted: parcel", 6, 1, "indent with spaces", schema=False),
    # Contradictions.
    Mistake("failed: [order.cancelled]", "failed: [order.placed]", 7, 12, "begins the flow", schema=False),
    Mistake(
        "failed: [order.cancelled]", "failed: [parcel.dispatched]", 7, 12, "in `completed` too", schema=False
    ),
    Mistake("failed: [order.cancelled]", "failed: [a.b, a.b]", 7, 17, "stands here twice", schema=False),
    Mistake("    undo: stock.release\n", "", 11, 13, "there is no `undo`", schema=False),
    Mistake("    undone: stock.released\n", "", 11, 11, "`undone` is missing", schema=False),
    Mistake("undo: stock.release\n", "undo: stock.reserved\n", 11, 11, "can't undo itself", schema=False),
    Mistake(
        "undone: stock.released", "undone: stock.release", 12, 13, "can't confirm the undo", schema=False
    ),
    Mistake("name: not-quiet", "name: charge-fast", 21, 12, "several rules are named", schema=False),
    Mistake("warn_at: 25m", "warn_at: 30m", 22, 48, "before the breach, which is after 30m", schema=False),
    Mistake("from: stock.reserved", "from: order.cancelled", 21, 31, "no clock starts there", schema=False),
    Mistake("to: payment.charged", "to: stock.reserved", 21, 51, "starts the clock", schema=False),
    Mistake("event: order.placed", "event: order.cancelled", 24, 34, "nothing is waited for", schema=False),
    Mistake(
        "- breach: ship-on-time",
        "- breach: ship-in-time",
        31,
        15,
        "no rule of `sla`",
        "ship-on-time",
        schema=False,
    ),
    Mistake("dead_letter: any", "dead_letter: [any, orders]", 30, 20, "`any` stands alone", schema=False),
    Mistake(
        "compensate:\n",
        "pause: {when: [{dead_letter: [any, orders]}]}\ncompensate:\n",
        25,
        30,
        "`any` stands alone",
        schema=False,
    ),
    Mistake("compensate:\n", "pause: {when: [{retries: 0}]}\ncompensate:\n", 25, 26, "0"),
    Mistake("- event: payment.declined", "- event: parcel.dispatched", 27, 14, "add an `if`", schema=False),
    Mistake(
        "then: {event: order.cancelled",
        "then: {event: parcel.dispatched",
        33,
        9,
        "has not completed",
        schema=False,
    ),
    Mistake(
        "then: {event: order.cancelled", "then: {event: payment.declined", 27, 14, "also `then`", schema=False
    ),
    Mistake(
        "[alert, compensate]", "[{emit: a.b}, {emit: a.c}]", 22, 85, "one `emit` is the most", schema=False
    ),
]


def wrong(mistake: Mistake) -> str:
    """The file with this mistake."""
    assert FLOW_TEXT.count(mistake.right) >= 1, mistake
    return FLOW_TEXT.replace(mistake.right, mistake.wrong, 1)
