"""What went on during a wait."""

from __future__ import annotations

from redisproxy.switch_test.timeline import Timeline, in_words


def test_a_wait_is_told_with_what_went_on_meanwhile() -> None:
    timeline = Timeline()
    timeline.add_steps(10.0, "switchover 3", [{"name": "drain", "ms": 20}, {"name": "swap", "ms": 5}])
    wait = {"began": 10.01, "ended": 10.125, "ms": 115.0, "load": "watches", "command": "EXEC"}
    late = [{"began": 10.05, "ended": 10.08}, {"began": 11.0, "ended": 11.5}]
    told = timeline.explain(wait, late)
    assert told["move"] == "switchover 3" and told["load_late_ms"] == 30.0
    assert told["during"] == {"between moves": 100.0, "drain": 10.0, "swap": 5.0}
    words = "EXEC of watches, switchover 3: between moves 100 ms, drain 10 ms, swap 5 ms"
    assert in_words(told) == f"{words}; the load itself was late by 30 ms"
