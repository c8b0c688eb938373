"""Steps that need nothing of each other run side by side, in processes that stay until the end of a run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from toy_approach import draw, meet, tell_process

from talik.files import is_alive
from talik.workflow import Step, choose_executor, make_plan
from talik.workflow.executor import Processes, Task
from talik.workflow.run import run_plan
from talik.workflow.unit import run_unit

DRAW = partial(draw, factor=1.0, seed=1, bad=())


def step(name: str, *needs: str, units: tuple[str, ...] = ("u",), work=tell_process, **more) -> Step:
    return Step(name=name, units=units, work=work, config={}, needs=needs, suffix=".txt", **more)


def stages(tmp_path: Path, *steps: Step) -> list[list[str]]:
    return [[p.step.name for p in stage] for stage in make_plan(steps, tmp_path).stages()]


def test_a_chain_is_a_stage_each(tmp_path):
    assert stages(tmp_path, step("c", "b"), step("b", "a"), step("a")) == [["a"], ["b"], ["c"]]


def test_a_diamond_has_two_side_by_side(tmp_path):
    found = stages(tmp_path, step("a"), step("left", "a"), step("right", "a"), step("end", "left", "right"))
    assert found == [["a"], ["left", "right"], ["end"]]


def test_what_needs_nothing_is_one_stage(tmp_path):
    assert stages(tmp_path, *(step(name) for name in "abc")) == [["a", "b", "c"]]


def test_a_step_waits_for_the_longest_way_to_it_and_for_files(tmp_path):
    """`late` needs `a` at once and `b` through a file that it publishes."""
    steps = [
        step("a"),
        step("b", "a", publish={"u": "b.txt"}),
        step("late", "a", inputs={"b": tmp_path / "b.txt"}),
        step("alone"),
    ]
    assert stages(tmp_path, *steps) == [["a", "alone"], ["b"], ["late"]]


def test_every_stage_needs_only_those_before_it(tmp_path):
    steps = [step(str(i), *(str(j) for j in range(i) if (i * 7 + j) % 3 == 0)) for i in range(12)]
    plan = make_plan(steps, tmp_path)
    seen: set[str] = set()
    before: set[str] = set()
    for stage in plan.stages():
        assert stage
        for p in stage:
            assert set(p.step.needs) <= seen
            assert not before or set(p.step.needs) & before  # nothing waits longer than it must
        before = {p.step.name for p in stage}
        seen |= before
    assert seen == {s.name for s in steps}


def test_units_of_two_steps_run_at_the_same_time(project_at, tmp_path):
    """Each waits until the other is there."""
    at = tmp_path / "here"
    at.mkdir()
    steps = [
        step("one", units=("x",), work=partial(meet, at=at, others=("y",))),
        step("two", units=("y",), work=partial(meet, at=at, others=("x",))),
    ]
    done = run_plan(project_at(), make_plan(steps, tmp_path / "out"), workers=2)
    assert done.failed == []
    assert len({(at / name).read_text() for name in "xy"}) == 2


def test_one_pool_serves_all_steps_and_is_gone_at_the_end(project_at, tmp_path):
    units = tuple(f"u{i}" for i in range(4))
    steps = [
        step("first", units=units),
        step("second", "first", units=units),
        step("third", "second", units=units),
    ]
    plan = make_plan(steps, tmp_path / "out")
    assert run_plan(project_at(), plan, workers=2).failed == []
    seen = [{int(p.path(u).read_text()) for u in units} for p in plan.steps]
    assert len(set.union(*seen)) <= 2
    assert seen[0] & seen[1]
    assert seen[1] & seen[2]
    assert os.getpid() not in set.union(*seen)
    assert not any(is_alive(pid) for pid in set.union(*seen))
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_unit_that_kills_its_process_costs_a_step_beside_it_nothing(project_at, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_KILL", "bad")
    steps = [
        step("one", units=("bad", "a", "b"), work=DRAW),
        step("two", units=("c", "d"), work=DRAW),
        step("after", "two", units=("e",)),
        step("lost", "one", units=("f",)),
    ]
    done = run_plan(project_at(), make_plan(steps, tmp_path / "out"), workers=2)
    assert {o.unit for o in done.failed} == {"bad", "f"}
    assert {o.unit for o in done.outcomes if o.status == "done"} == set("abcde")
    assert multiprocessing.active_children() == []


def test_an_executor_can_be_closed_twice_and_used_again(tmp_path):
    executor = choose_executor(2)
    assert isinstance(executor, Processes)
    executor.close()

    def pids(name: str) -> set[int]:
        tasks = [
            Task(
                "s", f"{name}{i}", partial(run_unit, tell_process, "s", f"{name}{i}", tmp_path / f"{name}{i}")
            )
            for i in range(3)
        ]
        assert {o.status for o in executor.run(tasks)} == {"done"}
        return {int((tmp_path / f"{name}{i}").read_text()) for i in range(3)}

    first, second = pids("a"), pids("b")
    assert first & second
    executor.close()
    assert not any(is_alive(pid) for pid in first | second)
    executor.close()


def test_who_stops_listening_ends_the_processes(tmp_path):
    executor = Processes(2)
    tasks = [
        Task("s", f"u{i}", partial(run_unit, tell_process, "s", f"u{i}", tmp_path / f"u{i}"))
        for i in range(6)
    ]
    for _ in executor.run(tasks):
        break
    assert multiprocessing.active_children() == []


HOLD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from functools import partial
from pathlib import Path
import toy_approach
from talik.workflow import Step, load_project, make_plan, register_section
from talik.workflow.run import run_plan
if __name__ == "__main__":
    register_section(toy_approach.SECTION)
    folder = Path(sys.argv[1])
    work = partial(toy_approach.meet, at=folder / "here", others=("nobody",))
    steps = [Step(name=n, units=(n + "1",), work=work, config={}, suffix=".txt") for n in ("one", "two")]
    run_plan(load_project(folder / "p.yaml"), make_plan(steps, folder / "out"), workers=2)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_control_c_ends_the_processes(project_at, tmp_path, wait_for):
    """As a terminal sends it, to all processes of the run, in the middle of two steps."""
    project_at()
    (tmp_path / "here").mkdir()
    (tmp_path / "hold.py").write_text(HOLD)
    main = subprocess.Popen(
        [sys.executable, str(tmp_path / "hold.py"), str(tmp_path)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    marks = [tmp_path / "here" / name for name in ("one1", "two1")]
    wait_for(lambda: all(mark.exists() and mark.read_text() for mark in marks))
    workers = [int(mark.read_text()) for mark in marks]
    os.killpg(main.pid, signal.SIGINT)
    _, err = main.communicate(timeout=60)
    assert main.returncode == -signal.SIGINT, err
    wait_for(lambda: not any(is_alive(pid) for pid in workers))
    assert (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "out").rglob("*.part"))
