"""What may go wrong around a run: changed inputs, races, interruptions, wrong workers, bad sections and plans."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from test_workflow_run import RUN, counts, step
from toy_approach import draw, results

from talik.config import Frozen
from talik.errors import ConfigError, InputError, TalikError
from talik.files import is_alive
from talik.workflow import (
    Section,
    make_plan,
    make_project,
    plan_project,
    read_manifest,
    register_section,
    run_plan,
    run_project,
    verify,
)
from talik.workflow.conventions import bad_input_exits, exit_for
from talik.workflow.executor import RETRIES
from talik.workflow.unit import Outcome, run_unit


@pytest.fixture
def counter(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "count"
    folder.mkdir()
    monkeypatch.setenv("TOY_COUNTER", str(folder))
    return folder


# inputs, results and their hashes


def test_an_input_that_changes_during_the_run_takes_its_results_back(project_at, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("1")
    project = project_at("toy: {data: data.csv}")
    result = run_project(project, listen=lambda _o: data.write_text("now this"))
    assert {o.error for o in result.failed} == {
        "input data.csv changed during the run; run again",
        "step draw did not complete",
    }
    assert results(project.output) == {}
    assert run_project(project).failed == []


def test_an_input_that_changes_after_the_plan_is_not_used(project_at, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("1")
    project = project_at("toy: {data: data.csv}")
    plan = plan_project(project)
    data.unlink()
    failed = run_plan(project, plan).failed
    assert failed[0].error == "input data.csv changed after the run was planned; run again"
    assert results(project.output) == {}


def test_an_input_must_be_a_readable_file(project_at, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"draw: folder = .*\n.*an input is a file, no folder"):
        plan_project(project_at("toy: {data: folder}"))


def test_a_result_without_its_hash_is_made_again(project_at, counter):
    project = project_at()
    run_project(project)
    next((project.output / "work").rglob(".u3.txt.sha256")).unlink()
    run_project(project)
    assert counts(counter) == {f"u{i}": 1 + (i == 3) for i in range(6)}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_recorded_hashes_are_those_of_sha256sum(project_at):
    project = project_at()
    run_project(project)
    folder = next((project.output / "work").glob("draw-*"))
    records = sorted(p.name for p in folder.glob(".*.sha256"))
    assert len(records) == 6
    checked = subprocess.run(
        ["sha256sum", "--check", *records], cwd=folder, capture_output=True, text=True, check=True
    )
    assert checked.stdout.count(": OK") == 6


def test_an_old_published_copy_does_not_outlive_its_result(project_at):
    project = project_at()
    run_project(project)
    assert (project.output / "sum.txt").exists()
    assert run_project(project_at("toy: {bad: [u1]}")).failed
    assert not (project.output / "sum.txt").exists()
    assert verify(project.output) == []


# units that misbehave


def make_folder(job) -> None:
    job.out.mkdir()
    (job.out / "a").touch()


def leave(_job) -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (make_folder, "IsADirectoryError: the work made a folder; the result of a unit is one file"),
        (leave, "SystemExit: 3"),
        (lambda _job: None, "FileNotFoundError: the work wrote no file to job.out"),
    ],
)
def test_work_that_makes_no_file_fails_and_leaves_nothing(tmp_path, work, error):
    outcome = run_unit(work, "s", "u", tmp_path / "u.txt")
    assert outcome.status == "failed"
    assert outcome.error.startswith(error)
    assert [p.name for p in tmp_path.iterdir()] == ["logs"]


def test_a_traceback_that_cannot_be_written_is_no_second_failure(tmp_path):
    (tmp_path / "logs").write_text("in the way")
    outcome = run_unit(make_folder, "s", "u", tmp_path / "u.txt")
    assert (outcome.status, outcome.log) == ("failed", "")


def test_a_worker_with_other_code_makes_nothing(tmp_path):
    outcome = run_unit(draw, "s", "u", tmp_path / "u.txt", code="0.0.1")
    assert outcome.status == "failed"
    assert "the run was planned with 0.0.1" in outcome.error
    assert not (tmp_path / "u.txt").exists()


def test_only_the_unit_that_kills_is_retried_alone_and_given_up(project_at, counter, monkeypatch):
    monkeypatch.setenv("TOY_KILL", "u0")
    result = run_project(project_at("toy: {units: 10}"), workers=2)
    assert {o.unit for o in result.failed} == {"u0", "all"}
    runs = counts(counter)
    assert runs.pop("u0") == 1 + RETRIES
    assert all(n <= 2 for n in runs.values())
    assert sum(n == 2 for n in runs.values()) <= 3  # what was in flight beside u0, at most


def test_a_worker_that_dies_once_costs_nothing(project_at, counter, monkeypatch):
    monkeypatch.setenv("TOY_KILL", "u1")
    monkeypatch.setenv("TOY_DEATHS", "1")
    assert run_project(project_at("toy: {units: 4}"), workers=2).failed == []
    assert counts(counter)["u1"] == 2


# several processes, interruptions


# a shell starts background jobs with SIGINT ignored, and the tests may be such a job
HEED_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def start(tmp_path: Path, name: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", f"{HEED_SIGINT}\n{RUN}", str(tmp_path / f"{name}.yaml"), "1"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_runs_of_one_project_at_once_both_end_well(project_at, tmp_path):
    reference = project_at("toy: {units: 5}", "reference")
    run_project(reference)
    project = project_at("toy: {units: 5}", "raced")
    both = [start(tmp_path, "raced", TOY_SLEEP="0.2") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out.strip()) == (0, "0"), err
    assert results(project.output) == results(reference.output)
    assert verify(project.output) == []
    assert not list(project.output.rglob("*.part"))


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_control_c_leaves_a_manifest_and_a_run_to_resume(project_at, tmp_path, wait_for):
    project = project_at("toy: {units: 30}", "stopped")
    process = start(tmp_path, "stopped", TOY_SLEEP="0.4")
    wait_for(lambda: len(results(project.output)) >= 2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert not is_alive(process.pid)
    units = [u["status"] for s in read_manifest(project.output)["steps"] for u in s["units"]]
    assert "not run" in units
    assert verify(project.output) == []
    assert not list(project.output.rglob("*.part"))
    assert run_project(project, resume=True).failed == []


def test_no_scheduler_is_one_message(project_at):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        ConfigError, match=rf"no Dask scheduler answers at tcp://127\.0\.0\.1:{port} .*refused"
    ):
        run_project(project_at(), scheduler=f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "address", ["tcp://host", "tcp://host:99999", "http://host:1", "host:8786", "tcp://:1"]
)
def test_addresses_are_checked_before_anything_runs(project_at, address):
    project = project_at()
    with pytest.raises(ConfigError, match="expected an address such as tcp"):
        run_project(project, scheduler=address)
    assert not project.output.exists()


# plans


@pytest.mark.parametrize(
    ("publish", "message"),
    [
        ({"a": "../x"}, "a path inside the output folder"),
        ({"a": "/x"}, "a path inside the output folder"),
        ({"a": "work/x"}, "a path inside the output folder"),
        ({"b": "x"}, "expected one of its units"),
        ({"a": "manifest.json"}, "which belongs to the manifest"),
        ({"a": "same"}, "which belongs to step 'other'"),
    ],
)
def test_results_are_published_inside_the_output_folder_once(tmp_path, publish, message):
    with pytest.raises(ConfigError, match=message):
        make_plan([step("other", publish={"a": "same"}), step("s", publish=publish)], tmp_path)


def test_an_output_that_cannot_be_a_folder_is_refused_before_the_run(tmp_path):
    (tmp_path / "file").touch()
    project = make_project({"talik": 1, "name": "x", "output": "file/out", "toy": {}}, tmp_path)
    with pytest.raises(ConfigError, match=r"output .*file/out: .*file is not a folder"):
        run_project(project)


@given(st.data())
def test_steps_run_after_what_they_need(data):
    names = data.draw(st.permutations([f"s{i}" for i in range(6)]))
    needs = {
        n: data.draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else []
        for i, n in enumerate(names)
    }
    shuffled = data.draw(st.permutations(names))
    plan = make_plan([step(n, needs=tuple(needs[n])) for n in shuffled], Path("nowhere"))
    order = [p.step.name for p in plan.steps]
    assert sorted(order) == sorted(names)
    assert all(order.index(needed) < order.index(n) for n in names for needed in needs[n])


# project files and sections


class Inner(Frozen):
    width: int = 1


class Outer(Frozen):
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}  # noqa: RUF012  (pydantic copies defaults)


register_section(Section("outer", Outer, lambda _p, _o: []))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("outer: {inner: {widht: 1}}", r"outer\.inner\.widht: unknown key; did you mean 'width'"),
        (
            "outer: {several: [{}, {widht: 1}]}",
            r"outer\.several\.1\.widht: unknown key; did you mean 'width'",
        ),
        ("outer: {named: {a: {widht: 1}}}", r"outer\.named\.a\.widht: unknown key; did you mean 'width'"),
        (
            "period: {first_yaer: 2000, last_year: 2001}",
            r"period\.first_yaer: unknown key; did you mean 'first_year'",
        ),
        ("toy: {factor: '2'}", r"toy\.factor: Input should be a valid number; found '2'"),
        ("toy: {units: true}", r"toy\.units: Input should be a valid integer; found True"),
        ("toy: {units: 1_000}", r"toy\.units: Input should be a valid integer; found '1_000'"),
        ("toy: {units: 2.0}", r"toy\.units: Input should be a valid integer; found 2\.0"),
        ("toy: {data: 5}", r"toy\.data: Input should be a valid string; found 5"),
    ],
)
def test_values_are_what_they_say_and_nested_keys_are_suggested(project_at, text, message):
    with pytest.raises(ConfigError, match=message):
        project_at(text)


def test_values_that_no_file_can_hold_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"toy: expected text, numbers, lists and keys"):
        make_project({"talik": 1, "name": "x", "toy": {"data": object()}}, tmp_path)


@given(st.permutations(["talik", "name", "seed", "toy"]))
def test_the_order_of_keys_changes_nothing(order):
    values = {"talik": 1, "name": "x", "seed": 3, "toy": {"factor": 2.5}}
    project = make_project({k: values[k] for k in order}, Path("nowhere"))
    assert project.key() == make_project(values, Path("nowhere")).key()


def test_a_home_that_does_not_exist_is_one_message(tmp_path):
    project = make_project({"talik": 1, "name": "x", "output": "~nobody-here/x", "toy": {}}, tmp_path)
    with pytest.raises(ConfigError, match="'~nobody-here/x': has no home folder here"):
        plan_project(project)


def install(folder: Path, entry_point: str) -> None:
    """A package with one section, as pip would leave it."""
    (folder / "guest.py").write_text(
        "from talik.config import Frozen\nfrom talik.workflow import Section\n"
        "class Options(Frozen):\n    size: int = 1\n"
        "SECTION = Section('guest', Options, lambda project, options: [])\n"
    )
    info = folder / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[talik.approaches]\n{entry_point}\n")


def test_an_installed_package_brings_its_section(tmp_path, monkeypatch):
    install(tmp_path, "guest = guest:SECTION")
    monkeypatch.syspath_prepend(tmp_path)
    project = make_project({"talik": 1, "name": "x", "guest": {"size": 4}}, tmp_path)
    assert project.sections["guest"].model_dump() == {"size": 4}
    with pytest.raises(ConfigError, match=r"guest\.sise: unknown key; did you mean 'size'"):
        make_project({"talik": 1, "name": "x", "guest": {"sise": 4}}, tmp_path)


@pytest.mark.parametrize(
    ("entry_point", "message"),
    [
        ("broken = no_such_module_anywhere:SECTION", "section 'broken' comes from .* cannot be imported"),
        ("broken = json:dumps", "expected a Section of that name"),
    ],
)
def test_a_broken_package_is_named(tmp_path, monkeypatch, entry_point, message):
    install(tmp_path, entry_point)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=message):
        make_project({"talik": 1, "name": "x", "broken": {}}, tmp_path)


def test_reading_a_project_imports_only_the_rooms_it_names(project_at, tmp_path):
    project_at("toy: {}", "lean")
    code = (
        "import sys, json, toy_approach; from pathlib import Path\n"
        "from talik.workflow import load_project, register_section\n"
        "register_section(toy_approach.SECTION)\n"
        f"load_project(Path({str(tmp_path / 'lean.yaml')!r})).key()\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "talik.workflow.project" in loaded
    assert not loaded & {
        "talik.budget",
        "talik.report",
        "matplotlib",
        "distributed",
        "dask",
        "xarray",
        "scipy",
    }


def test_a_registered_name_must_have_a_strict_model():
    class Loose:
        pass

    with pytest.raises(ConfigError, match=r"must derive from talik\.config\.Frozen"):
        register_section(Section("loose", Loose, lambda _p, _o: []))  # type: ignore[arg-type]


# what a command says and returns


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (TalikError("this is wrong"), 2, "talik: this is wrong\n"),
        (KeyboardInterrupt(), 130, "talik: interrupted. Finished units are kept; run again to go on.\n"),
    ],
)
def test_errors_become_one_message_and_a_code(capsys, error, code, said):
    with pytest.raises(typer.Exit) as caught, bad_input_exits():
        raise error
    assert caught.value.exit_code == code
    assert capsys.readouterr() == ("", said)


def test_failed_units_are_told_with_exit_code_1(capsys):
    exit_for([])
    with pytest.raises(typer.Exit) as caught:
        exit_for([Outcome("s", "u", "failed", 0.0, "ValueError: no", "logs/u.log")])
    assert caught.value.exit_code == 1
    assert "failed s/u: ValueError: no (traceback: logs/u.log)" in capsys.readouterr().err


def test_debugging_shows_the_error_itself(monkeypatch):
    monkeypatch.setenv("TALIK_DEBUG", "1")
    with pytest.raises(TalikError, match="this is wrong"), bad_input_exits():
        raise TalikError("this is wrong")
