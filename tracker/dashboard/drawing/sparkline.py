"""A small picture of how something went over time, without axes: the number beside it says how much it is."""

from collections.abc import Sequence

from tracker.dashboard.node import Node, h

WIDTH, HEIGHT = 200, 34


def columns(values: Sequence[float], label: str) -> Node:
    """A column for each; the last one is of a time that is not over."""
    top = max(values, default=0) or 1
    step = WIDTH / max(1, len(values))
    last = len(values) - 1
    drawn = [_column(index, value / top, step, "now" * (index == last)) for index, value in enumerate(values)]
    return _picture(label, drawn)


def shares(values: Sequence[tuple[int, int]], label: str) -> Node:
    """A column for each pair: how many there were, and how many of them, from below, are in the colour."""
    top = max((whole for whole, _ in values), default=0) or 1
    step = WIDTH / max(1, len(values))
    drawn = [
        _column(index, count / top, step, classes)
        for index, pair in enumerate(values)
        for count, classes in zip(pair, ("", "late"), strict=True)
    ]
    return _picture(label, drawn)


def line(values: Sequence[float | None], label: str) -> Node:
    """A line through what is known, straight over what is not."""
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if not known:
        return _picture(label, [])
    top = max(value for _, value in known) or 1
    step = WIDTH / max(1, len(values) - 1)
    points = [
        (round(index * step, 2), round(HEIGHT - 2 - value / top * (HEIGHT - 4), 2)) for index, value in known
    ]
    if len(points) == 1:
        x, y = points[0]
        # A line of no length with round ends: a circle would be stretched with the picture.
        return _picture(label, [h("path", {"class": "dot", "d": f"M{min(x, WIDTH - 2)} {y}h0"})])
    path = " ".join(f"{x},{y}" for x, y in points)
    area = f"{points[0][0]},{HEIGHT} {path} {points[-1][0]},{HEIGHT}"
    return _picture(
        label,
        [h("polygon", {"class": "area", "points": area}), h("polyline", {"class": "line", "points": path})],
    )


def _column(index: int, share: float, step: float, classes: str) -> Node:
    height = max(1.0, share * (HEIGHT - 2)) if share else 0.0
    place = {"x": round(index * step + 0.5, 2), "y": round(HEIGHT - height, 2)}
    size = {"width": round(max(1.0, step - 1.5), 2), "height": round(height, 2)}
    return h("rect", {"class": classes, **place, **size})


def _picture(label: str, drawn: list[Node]) -> Node:
    view = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "preserveAspectRatio": "none"}
    return h("svg", {"class": "spark", "role": "img", "aria-label": label, **view}, drawn)
