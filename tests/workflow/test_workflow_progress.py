"""What a person sees of a run: place, time gone, about how long is left."""

from __future__ import annotations

import sys

import pytest
from test_workflow_run import step

from talik.workflow import Cost, make_plan
from talik.workflow.conventions import plan_text, size_text, span
from talik.workflow.progress import Pace, plan_progress, progress
from talik.workflow.unit import Outcome


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def done(name: str, unit: str, seconds: float) -> Outcome:
    return Outcome(name, unit, "done", seconds)


@pytest.fixture
def plan(tmp_path):
    four = ("a", "b", "c", "d")
    return make_plan(
        [
            step("first", units=four, cost=Cost(seconds=100.0, memory_bytes=1e9, disk_bytes=5e5)),
            step("second", units=four, cost=Cost(seconds=50.0, memory_bytes=3e9)),
            step("third", units=("x",), needs=("second",)),
        ],
        tmp_path,
    )


def test_time_left_is_the_plan_then_what_was_measured(plan):
    clock = Clock()
    pace = Pace(plan, workers=1, clock=clock)
    assert pace.left() == (600.0, False)
    assert pace.left_text() == ", about 10 min or more left"
    clock.now = 200.0
    pace.take(done("first", "a", 200.0))
    # three more at 200 s; the second step is about twice as slow as the plan said, too
    seconds, complete = pace.left()
    assert seconds == pytest.approx(3 * 200.0 + 4 * 50.0 * 205.0 / 105.0)
    assert not complete
    assert pace.text("first") == "step 1 of 3, 3 min gone, about 17 min or more left"
    for unit in "bcd":
        pace.take(done("first", unit, 200.0))
    for unit in "abcd":
        pace.take(done("second", unit, 10.0))
    assert pace.left() == (0.0, False)
    assert pace.left_text() == ", time left not known"
    pace.take(done("third", "x", 1.0))
    assert pace.left() == (0.0, True)
    assert pace.left_text() == ""


def test_workers_share_what_is_left(plan):
    assert Pace(plan, workers=2, clock=Clock()).left()[0] == 300.0
    assert Pace(plan, workers=3, clock=Clock()).left()[0] == 2 * 100.0 + 2 * 50.0


def test_what_is_there_counts_no_time(plan):
    pace = Pace(plan, clock=Clock())
    before = pace.left()
    pace.take(Outcome("first", "a", "cached", 0.0))
    assert pace.left() == before


def test_plain_lines_have_place_and_time(plan, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with plan_progress(plan, 1) as listen:
        listen(Outcome("first", "a", "cached", 0.0))
        listen(done("first", "b", 2.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[1/9] first/a cached 0.0 s"
    assert lines[1].startswith("[2/9] first/b done 2.0 s (step 1 of 3, 0 s gone, about ")
    with progress(1) as listen:
        listen(done("tile", "t", 1.0))
    assert capsys.readouterr().err == "[1/1] tile/t done 1.0 s\n"


def test_many_units_are_few_lines_and_no_failure_is_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    names = tuple(f"u{i}" for i in range(500))
    with plan_progress(make_plan([step("s", units=names)], tmp_path)) as listen:
        for k, name in enumerate(names):
            listen(Outcome("s", name, "failed" if k == 333 else "done", 0.0))
    lines = capsys.readouterr().err.splitlines()
    assert 20 <= len(lines) <= 23
    assert any("s/u333 failed" in line for line in lines)


def test_a_terminal_has_a_live_bar(plan, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with plan_progress(plan, 1) as listen:
        listen(done("first", "a", 2.0))
    shown = capsys.readouterr().err
    assert "step 1 of 3 first/a done" in shown
    assert "left" in shown


def test_the_plan_has_a_total(plan):
    assert plan.total() == {
        "steps": 3,
        "units": 9,
        "cached": 0,
        "todo": 9,
        "seconds": 600.0,
        "steps_of_unknown_time": 1,
        "memory_bytes": 3e9,
        "disk_bytes": 2e6,
    }
    assert plan_text(plan).splitlines()[-1] == (
        "total: 3 steps, 9 units, 0 done, about 10 min of work, 1 step of unknown time, "
        "3.0 GB memory a worker at most, 2.0 MB to write"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99.0, "99 s"), (100.0, "2 min"), (7200.0, "2.0 h"), (200_000.0, "2.3 d")],
)
def test_durations(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(812, "812 B"), (1234, "1.2 kB"), (34_000_000, "34 MB"), (2e9, "2.0 GB")]
)
def test_sizes(size, text):
    assert size_text(size) == text
