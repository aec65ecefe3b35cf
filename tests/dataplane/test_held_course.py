"""The course of a pause: how many clients were held at which time."""

from __future__ import annotations

from redisproxy.dataplane.held_course import MAX_POINTS, course_of, together


def test_the_course_rises_with_each_client() -> None:
    assert course_of([10.0, 10.002, 10.002], 10.0) == ((0.0, 1), (0.002, 2), (0.002, 3))
    assert course_of([], 10.0) == ()


def test_it_has_few_points_however_many_clients_there_are() -> None:
    course = course_of([number / 1000 for number in range(10_000)], 0.0)
    assert len(course) == MAX_POINTS
    assert course[0] == (0.0, 1) and course[-1] == (9.999, 10_000)


def test_those_of_several_data_planes_are_added_up() -> None:
    one, other = ((0.0, 1), (0.3, 5)), ((0.1, 2), (0.2, 3))
    assert together([one, other]) == ((0.0, 1), (0.1, 3), (0.2, 4), (0.3, 8))
    assert together([(), one]) == one and together([]) == ()
    many = course_of([number / 1000 for number in range(10_000)], 0.0)
    assert len(together([many, many])) == MAX_POINTS and together([many, many])[-1] == (9.999, 20_000)
