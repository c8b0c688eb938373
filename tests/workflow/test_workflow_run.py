"""Units of work: whole or absent, skipped when there, the same bytes however they are run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from toy_approach import draw, results, sum_by_dask

from talik.errors import ConfigError, CoverageError
from talik.files import is_alive, remove_stale_parts
from talik.workflow import (
    Cost,
    Step,
    choose_executor,
    make_plan,
    plan_project,
    read_manifest,
    require_complete,
    run_project,
    verify,
)
from talik.workflow.executor import Task
from talik.workflow.unit import run_unit

RUN = "import sys; import toy_approach; from pathlib import Path\n" + (
    "from talik.workflow import load_project, register_section, run_project\n"
    "register_section(toy_approach.SECTION)\n"
    "r = run_project(load_project(Path(sys.argv[1])), workers=int(sys.argv[2]))\n"
    "print(len(r.failed))\n"
)


def counts(folder: Path) -> dict[str, int]:
    return {p.name: len(p.read_text()) for p in folder.iterdir()}


def test_run_and_run_again(project_at, monkeypatch, tmp_path):
    (tmp_path / "count").mkdir()
    monkeypatch.setenv("TOY_COUNTER", str(tmp_path / "count"))
    project = project_at()
    first = run_project(project)
    assert [o.status for o in first.outcomes] == ["done"] * 7
    assert [p.name for p in first.published] == ["sum.txt"]
    again = run_project(project, resume=True)
    assert {o.status for o in again.outcomes} == {"cached"}
    assert set(counts(tmp_path / "count").values()) == {1}
    assert verify(project.output) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_workers_end_with_the_main_process(project_at, tmp_path, wait_for):
    """SIGKILL to the main process alone, while each of two workers has minutes to go."""
    project = project_at("toy: {units: 2}", "orphans")
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path / "orphans.yaml"), "2"],
        env={**os.environ, "TOY_SLEEP": "170"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: len(list((project.output / "work").rglob("*.part"))) == 2)
    workers = [
        int(p.name.rpartition("-")[2].removesuffix(".part"))
        for p in (project.output / "work").rglob("*.part")
    ]
    assert all(is_alive(pid) for pid in workers)
    process.kill()
    process.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in workers))


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_mid_run_then_resumed(project_at, monkeypatch, tmp_path, wait_for, workers):
    """SIGKILL to the whole process group once two units are done; the rest follows, nothing is redone."""
    reference = project_at("toy: {units: 6}", "reference")
    run_project(reference)
    project = project_at("toy: {units: 6}", "killed")
    (tmp_path / "count").mkdir()
    monkeypatch.setenv("TOY_COUNTER", str(tmp_path / "count"))
    environment = {**os.environ, "TOY_SLEEP": "0.4"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path / "killed.yaml"), str(workers)],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: len(results(project.output)) >= 2 and any((project.output / "work").rglob("*.part")))
    parts = list((project.output / "work").rglob("*.part"))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    pids = [int(p.name.rpartition("-")[2].removesuffix(".part")) for p in parts]
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    finished = results(project.output)
    assert 2 <= len(finished) < 7
    assert all(b"half" not in content for content in finished.values())

    result = run_project(project, resume=True)
    assert result.failed == []
    assert results(project.output) == results(reference.output)
    done_before = {name.partition("/")[2].removesuffix(".txt") for name in finished}
    redone = counts(tmp_path / "count")
    assert all(redone[unit] == 1 for unit in done_before)
    assert not list((project.output / "work").rglob("*.part"))


def test_the_same_bytes_for_any_number_of_workers(project_at):
    for name, workers in (("one", 1), ("two", 2)):
        assert run_project(project_at("toy: {units: 4}", name), workers=workers).failed == []
    folders = [project_at("toy: {units: 4}", name).output for name in ("one", "two")]
    assert results(folders[0]) == results(folders[1])
    manifests = [read_manifest(f) for f in folders]
    for m in manifests:
        del m["started"], m["ended"], m["project"]["name"]
        for unit in (u for s in m["steps"] for u in s["units"]):
            assert unit.pop("seconds") >= 0
    assert manifests[0] == manifests[1]


def test_a_failing_unit_leaves_the_others_and_a_record(project_at):
    project = project_at("toy: {bad: [u2]}")
    result = run_project(project)
    failed = {(o.step, o.unit): o for o in result.failed}
    assert set(failed) == {("draw", "u2"), ("sum", "all")}
    assert failed["draw", "u2"].error == "ValueError: u2 is bad"
    assert "Traceback" in Path(failed["draw", "u2"].log).read_text()
    assert failed["sum", "all"].error == "step draw did not complete"
    assert len(results(project.output)) == 5
    assert not (project.output / "sum.txt").exists()
    with pytest.raises(CoverageError, match=r"2 of 7 units failed; first: draw/u2: ValueError: u2 is bad"):
        require_complete(result.outcomes)
    require_complete(result.outcomes, max_failed=0.5)
    entry = next(u for u in read_manifest(project.output)["steps"][0]["units"] if u["unit"] == "u2")
    assert entry["status"] == "failed"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_worker_that_dies_fails_its_unit_only(project_at, monkeypatch):
    monkeypatch.setenv("TOY_KILL", "u1")
    result = run_project(project_at("toy: {units: 4}"), workers=2)
    failed = {o.unit: o.error for o in result.failed}
    assert set(failed) == {"u1", "all"}
    assert "killed, or out of memory?" in failed["u1"]


def test_a_changed_input_byte_is_new_work(project_at, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("1")
    keys = set()
    for content in ("1", "2", "1"):
        data.write_text(content)
        keys.add(plan_project(project_at("toy: {data: data.csv}"))["draw"].key)
    assert len(keys) == 2


def test_a_change_upstream_is_new_work_downstream(project_at):
    a, b = (plan_project(project_at(f"toy: {{factor: {f}}}")) for f in (1, 2))
    assert a["sum"].key != b["sum"].key


def test_the_code_version_is_part_of_the_key(project_at, monkeypatch):
    before = plan_project(project_at())["draw"].key
    monkeypatch.setattr("talik.workflow.plan.code_version", lambda: "0.0.0")
    assert plan_project(project_at())["draw"].key != before


def test_resume_needs_something_to_resume(project_at):
    with pytest.raises(ConfigError, match="holds no run of this project to continue"):
        run_project(project_at(), resume=True)
    run_project(project_at())
    with pytest.raises(ConfigError, match="the project file changed"):
        run_project(project_at("toy: {factor: 9}"), resume=True)


def test_verify_finds_rot_and_loss_also_after_another_run(project_at):
    project = project_at()
    run_project(project)
    rotten, lost = sorted((project.output / "work").rglob("u*.txt"))[:2]
    rotten.write_text("other")
    lost.unlink()
    (project.output / "sum.txt").unlink()
    assert [w.rpartition("/")[2] for w in verify(project.output)] == [
        "u0.txt: its bytes changed since it was made",
        "u1.txt: is missing",
        "sum.txt: is missing",
    ]
    run_project(project)
    assert [w.rpartition("/")[2] for w in verify(project.output)] == [
        "u0.txt: its bytes changed since it was made"
    ]


def test_only_some_steps(project_at):
    plan = plan_project(project_at(), only=["draw"])
    assert [p.step.name for p in plan.steps] == ["draw"]
    with pytest.raises(ConfigError, match="step 'drw' does not exist; the steps are: draw, sum"):
        plan_project(project_at(), only=["drw"])


def step(name: str, **changes) -> Step:
    return Step(**{"name": name, "units": ("a",), "work": draw, "config": {}, **changes})


def test_impossible_plans_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="in a circle: a -> b -> a"):
        make_plan([step("a", needs=("b",)), step("b", needs=("a",))], tmp_path)
    with pytest.raises(ConfigError, match="two units have the same name"):
        step("a", units=("u", "u"))
    with pytest.raises(ConfigError, match=r"'\.\./x': use letters"):
        step("a", units=("../x",))
    with pytest.raises(ConfigError, match="not plain JSON"):
        make_plan([step("a", config={"x": float("nan")})], tmp_path)
    plan = make_plan([step("a", cost=Cost(disk_bytes=1e18))], tmp_path)
    assert plan.rows()[0]["disk_bytes"] == 1e18
    with pytest.raises(ConfigError, match=r"needs 1,000,000,000,000\.0 MB, .* are free"):
        plan.check_room()


def test_a_plan_writes_nothing(project_at):
    project = project_at()
    plan_project(project)
    assert not project.output.exists()


def test_left_over_parts_of_dead_processes_go(tmp_path):
    import socket

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {
        "dead": f".a.txt.00.{socket.gethostname()}-{dead.pid}.part",
        "alive": f".b.txt.00.{socket.gethostname()}-{os.getpid()}.part",
        "elsewhere": f".c.txt.00.other-host-{dead.pid}.part",
    }
    for name in names.values():
        (tmp_path / name).write_text("half")
    assert remove_stale_parts(tmp_path) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([names["alive"], names["elsewhere"]])


def test_a_work_function_that_writes_nothing_fails(tmp_path):
    outcome = run_unit(lambda _job: None, "s", "u", tmp_path / "u.txt")
    assert outcome.status == "failed"
    assert "FileNotFoundError" in outcome.error


@pytest.mark.skipif(shutil.which("kill") is None, reason="needs POSIX processes")
def test_dask_gives_the_same_bytes_even_if_a_worker_is_killed(project_at, dask_cluster, monkeypatch):
    reference = project_at("toy: {units: 8}", "reference")
    run_project(reference)
    monkeypatch.setenv("TOY_SLEEP", "0.4")
    address, workers = dask_cluster()
    project = project_at("toy: {units: 8}", "dask")
    seen = []

    def listen(outcome) -> None:
        seen.append(outcome)
        if len(seen) == 2:
            workers[0].kill()

    result = run_project(project, scheduler=address, listen=listen)
    assert result.failed == []
    assert results(project.output) == results(reference.output)


@pytest.mark.parametrize(("workers", "threads"), [(2, 1), (1, 2)])
def test_a_worker_of_a_cluster_runs_one_unit_with_all_it_computes(dask_cluster, tmp_path, workers, threads):
    """Else its dask arrays went to the cluster, the worker began another unit, and both were in HDF5 at once."""
    address, _ = dask_cluster(workers, threads)
    (tmp_path / "at").mkdir()
    units = [f"u{i}" for i in range(6)]
    tasks = [
        Task("s", u, partial(run_unit, partial(sum_by_dask, at=tmp_path / "at"), "s", u, tmp_path / u))
        for u in units
    ]
    outcomes = list(choose_executor(scheduler=address).run(tasks))
    assert [o.status for o in outcomes] == ["done"] * 6, [o.error for o in outcomes]
    assert {(tmp_path / unit).read_text() for unit in units} == {"4 1 1"}


def test_misspelt_schedulers_and_worker_counts_are_said(project_at):
    with pytest.raises(ConfigError, match="expected an address such as tcp"):
        run_project(project_at(), scheduler="localhost")
    with pytest.raises(ConfigError, match="workers is 0"):
        choose_executor(0)
