"""How many clients were held during a pause, over its time: told with the release, of one data plane or of several.

A course is a sequence of C{(seconds since the gate was closed, clients held from then on)}, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Course = tuple[tuple[float, int], ...]

MAX_POINTS = 50


def course_of(since: Sequence[float], closed_at: float) -> Course:
    """The course of clients that all waited until the end. @param since: when each had to stop, in order."""
    return _thinned([(round(max(0.0, at - closed_at), 6), number) for number, at in enumerate(since, 1)])


def together(courses: Iterable[Course]) -> Course:
    """The course of the clients of several data planes."""
    came = sorted((at, held - before) for course in courses for (at, held), before in _with_before(course))
    held, points = 0, []
    for at, more in came:
        held += more
        points.append((at, held))
    return _thinned(points)


def _with_before(course: Course) -> Iterable[tuple[tuple[float, int], int]]:
    return zip(course, (0, *(held for _, held in course)), strict=False)


def _thinned(points: Sequence[tuple[float, int]]) -> Course:
    """No more than C{MAX_POINTS} of these, the first and the last among them."""
    last = len(points) - 1
    if last < MAX_POINTS:
        return tuple(points)
    return tuple(points[last * number // (MAX_POINTS - 1)] for number in range(MAX_POINTS))
