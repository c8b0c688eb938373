"""Files that one step publishes and another reads: order, keys, repair, circles, sections that look into them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from toy_approach import results
from typer.testing import CliRunner, Result

from talik.cli import app
from talik.errors import ConfigError, InputError
from talik.workflow import Step, plan_project, read_manifest, run_plan, run_project, verify
from talik.workflow.chain import ready_sections
from talik.workflow.plan import make_plan
from talik.workflow.unit import Outcome

CHAIN = """
relay:
  links:
    last: {reads: [p-out/middle/u0.txt, own.csv]}
    middle: {reads: [p-out/sum.txt], word: WORD}
toy: {units: 2, factor: FACTOR}
"""


def chain(word: str = "a", factor: float = 1.0) -> str:
    return CHAIN.replace("WORD", word).replace("FACTOR", str(factor))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.csv"
    path.write_text("1\n")
    return path


def statuses(outcomes: tuple[Outcome, ...]) -> dict[str, set[str]]:
    return {o.step: {p.status for p in outcomes if p.step == o.step} for o in outcomes}


def everything(output: Path) -> dict[str, bytes]:
    """Bytes of what is published."""
    paths = [p for p in output.rglob("*") if p.is_file() and "work" not in p.relative_to(output).parts]
    return {str(p.relative_to(output)): p.read_bytes() for p in paths if p.name != "manifest.json"}


def test_what_makes_a_file_runs_before_what_reads_it(project_at, own):
    project = project_at(chain())
    plan = plan_project(project)
    assert [p.step.name for p in plan.steps] == ["draw", "sum", "relay-middle", "relay-last"]
    assert not project.output.exists()
    result = run_plan(project, plan)
    assert result.failed == []
    made = everything(project.output)
    assert set(made) == {"sum.txt", *(f"{link}/u{i}.txt" for link in ("middle", "last") for i in (0, 1))}
    assert set(result.published) == {project.output / name for name in made}
    assert verify(project.output) == []
    assert statuses(run_project(project).outcomes) == {p.step.name: {"cached"} for p in plan.steps}


def test_only_brings_what_makes_the_file(project_at, own):
    plan = plan_project(project_at(chain()), only=["relay-middle"])
    assert [p.step.name for p in plan.steps] == ["draw", "sum", "relay-middle"]


def test_keys_follow_from_the_maker_and_not_from_the_bytes_that_lie_there(project_at, own):
    first = plan_project(project_at(chain()))
    run_plan(project_at(chain()), first)
    (first.output / "sum.txt").write_text("edited")
    again = plan_project(project_at(chain()))
    assert [p.key for p in first.steps] == [p.key for p in again.steps]
    keys = {
        name: {p.step.name: p.key for p in plan.steps}
        for name, plan in (
            ("first", first),
            ("factor", plan_project(project_at(chain(factor=2.0)))),
            ("word", plan_project(project_at(chain(word="b")))),
        )
    }
    changed = {name: [s for s in keys[name] if keys[name][s] != keys["first"][s]] for name in keys}
    assert changed["factor"] == ["draw", "sum", "relay-middle", "relay-last"]
    assert changed["word"] == ["relay-middle", "relay-last"]
    own.write_text("2\n")
    now = {p.step.name: p.key for p in plan_project(project_at(chain())).steps}
    assert [s for s in now if now[s] != keys["first"][s]] == ["relay-last"]


def test_another_unit_of_the_maker_is_another_key(project_at):
    keys = [
        plan_project(project_at(f"relay: {{links: {{a: {{}}, b: {{reads: [p-out/a/{u}.txt]}}}}}}"))[
            "relay-b"
        ].key
        for u in ("u0", "u1")
    ]
    assert keys[0] != keys[1]


def test_a_change_upstream_is_made_and_read_anew(project_at, own):
    run_project(project_at(chain()))
    before = everything(project_at(chain()).output)
    result = run_project(project_at(chain(factor=2.0)))
    assert result.failed == []
    after = everything(project_at(chain()).output)
    assert all(before[name] != after[name] for name in before if name.endswith(("sum.txt", "u0.txt")))
    run_project(project_at(chain()))
    assert everything(project_at(chain()).output) == before


@pytest.mark.parametrize("damage", ["edited", "lost"])
def test_an_edited_published_file_is_published_again_and_not_believed(project_at, own, damage):
    project = project_at(chain())
    run_project(project)
    whole, made = everything(project.output), results(project.output)
    target = project.output / "middle/u0.txt"
    target.write_text("edited") if damage == "edited" else target.unlink()
    assert statuses(run_project(project).outcomes)["relay-last"] == {"cached"}
    assert everything(project.output) == whole
    # and before a step that has to run: its reader is made anew from the recorded bytes
    target.write_text("edited") if damage == "edited" else target.unlink()
    own.write_text("2\n")
    run_project(project)
    own.write_text("1\n")
    for path in (project.output / "work").glob("relay-last-*/*.txt"):
        path.unlink()
    target.write_text("edited")
    assert run_project(project).failed == []
    assert everything(project.output) == whole
    assert results(project.output) == made


def test_a_file_that_is_edited_between_two_steps_is_repaired(project_at, own):
    project = project_at(chain())
    reference = run_project(project)
    whole = everything(project.output)
    for path in sorted(reference.manifest.parent.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()

    def edit(outcome: Outcome) -> None:
        if outcome.step == "relay-middle":
            (project.output / "sum.txt").write_text("edited")
        if (outcome.step, outcome.unit) == ("relay-middle", "u1"):
            (project.output / "middle").mkdir(exist_ok=True)
            (project.output / "middle/u0.txt").write_text("edited")

    result = run_project(project, listen=edit)
    # what ran while its input was edited is taken back; nothing was made of edited bytes
    assert {o.error for o in result.failed if o.step == "relay-middle"} == {
        "input p-out/sum.txt changed during the run; run again"
    }
    assert run_project(project).failed == []
    assert everything(project.output) == whole


def test_a_result_that_rotted_is_not_read(project_at, own):
    project = project_at(chain())
    plan = plan_project(project)
    run_plan(project, plan)
    plan["sum"].path("all").write_text("rotten")
    (project.output / "sum.txt").unlink()
    for path in plan["relay-middle"].folder.glob("*.txt"):
        path.unlink()
    failed = run_project(project).failed
    assert {o.step for o in failed} == {"relay-middle"}
    assert all("whose bytes changed since it was made; remove that and run again" in o.error for o in failed)
    plan["sum"].path("all").unlink()
    assert run_project(project).failed == []


def test_a_maker_that_fails_is_named(project_at, own):
    project = project_at(chain().replace("units: 2,", "units: 2, bad: [u1],"))
    failed = {o.step: o.error for o in run_project(project).failed}
    assert failed["relay-middle"] == "sum/all, which makes p-out/sum.txt, did not complete"
    assert failed["relay-last"] == "relay-middle/u0, which makes p-out/middle/u0.txt, did not complete"
    assert everything(project.output) == {}


def test_results_are_published_as_soon_as_their_step_is_done(project_at, own):
    project = project_at(chain())
    seen = {}

    def listen(outcome: Outcome) -> None:
        seen.setdefault(outcome.step, sorted(everything(project.output)))

    run_project(project, listen=listen)
    assert seen["sum"] == []
    assert seen["relay-middle"] == ["sum.txt"]
    assert seen["relay-last"] == ["middle/u0.txt", "middle/u1.txt", "sum.txt"]


def test_copies_of_another_configuration_go_before_anything_runs(project_at, own):
    run_project(project_at(chain()))
    project, seen = project_at(chain(word="b")), []
    run_project(project, listen=lambda _o: seen.append(sorted(everything(project.output))))
    assert seen[0] == ["sum.txt"]


def test_circles_are_errors(project_at, tmp_path):
    circle = "relay: {links: {a: {reads: [p-out/b/u0.txt]}, b: {reads: [p-out/a/u1.txt]}}}"
    with pytest.raises(ConfigError, match="in a circle: relay-a -> relay-b -> relay-a"):
        plan_project(project_at(circle))
    with pytest.raises(ConfigError, match="in a circle: relay-a -> relay-a"):
        plan_project(project_at("relay: {links: {a: {reads: [p-out/a/u0.txt]}}}"))
    steps = [
        Step(name="a", units=("u",), work=print, config={}, needs=("b",), publish={"u": "a.txt"}),
        Step(name="b", units=("u",), work=print, config={}, inputs={"x": tmp_path / "a.txt"}),
    ]
    with pytest.raises(ConfigError, match="in a circle: a -> b -> a"):
        make_plan(steps, tmp_path)


def test_a_file_in_the_output_folder_that_nobody_makes_is_said(project_at):
    with pytest.raises(
        InputError, match=r"p-out/none\.txt \(in the output folder, where no step .* publishes it\)"
    ):
        plan_project(project_at("relay: {links: {a: {reads: [p-out/none.txt]}}}"))


def test_the_manifest_says_which_step_made_an_input(project_at, own):
    project = project_at(chain())
    run_project(project)
    step = next(s for s in read_manifest(project.output)["steps"] if s["step"] == "relay-middle")
    held = step["inputs"]["p-out/sum.txt"]
    assert held["made_by"] == {"step": "sum", "unit": "all"}
    assert held["bytes"] == (project.output / "sum.txt").stat().st_size
    maker = next(s for s in read_manifest(project.output)["steps"] if s["step"] == "sum")
    assert held["sha256"] == maker["units"][0]["sha256"]


# sections that look into a file to be planned

PEEK = """
more: {links: {look: {reads: [p-out/a/u0.txt], peek: true}}}
relay: {links: {a: {word: WORD}}}
toy: {units: 2}
"""


def test_a_section_that_looks_into_a_file_waits_for_it(project_at):
    project = project_at(PEEK.replace("WORD", "x"))
    ready = ready_sections(project)
    assert list(ready.sections) == ["relay", "toy"]
    assert ready.waiting["more"].makers == ("relay-a",)
    said = r"section more cannot be planned yet: it looks into p-out/a/u0\.txt, which step relay-a of this project"
    with pytest.raises(InputError, match=said):
        plan_project(project)
    with pytest.raises(InputError, match=said):
        plan_project(project, only=["relay-more-look"])
    run_project(project, only=["relay-a"])
    assert [p.step.name for p in plan_project(project).steps] == ["relay-a", "relay-more-look", "draw", "sum"]
    assert run_project(project).failed == []


def test_a_plan_from_an_old_file_is_not_run(project_at):
    old = project_at(PEEK.replace("WORD", "x"))
    run_project(old, only=["relay-a"])
    new = project_at(PEEK.replace("WORD", "y"))
    stale = plan_project(new)  # it looked into the file of the old configuration
    with pytest.raises(InputError, match="section more cannot be planned yet"):
        run_plan(new, stale)
    run_project(new, only=["relay-a"])
    assert run_project(new).failed == []


def test_a_section_that_needs_one_that_waits_waits_too(project_at):
    text = PEEK.replace("WORD", "x").replace("toy:", "budget: {posts: p-out/more-look/u0.txt}\nreport:\ntoy:")
    ready = ready_sections(project_at(text))
    assert sorted(ready.waiting) == ["budget", "more", "report"]
    assert "budget waits for p-out/more-look/u0.txt" in str(ready.waiting["budget"].error)


def test_an_error_that_no_file_will_mend_is_raised_at_once(project_at):
    text = PEEK.replace("WORD", "x").replace("p-out/a/u0.txt", "elsewhere.txt")
    with pytest.raises(InputError, match=r"elsewhere\.txt: no such file"):
        ready_sections(project_at(text))


def call(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def test_talik_run_plans_a_section_that_waits_when_its_file_is_there(project_at, tmp_path):
    project = project_at(PEEK.replace("WORD", "x"))
    path = tmp_path / "p.yaml"
    shown = call("run", path, "--dry-run")
    assert "then: more (planned when the files that they look into are made)" in shown.stderr
    told = json.loads(call("run", path, "--dry-run", "--json").stdout)
    assert told["waiting"] == ["more"]
    done = json.loads(call("run", path, "--json").stdout)
    assert {(o["step"], o["status"]) for o in done["outcomes"]} == {
        (name, "done") for name in ("relay-a", "draw", "sum", "relay-more-look")
    }
    assert done["not_planned"] == []
    assert {"more-look/u0.txt", "more-look/u1.txt"} <= set(everything(project.output))
    assert {s["step"] for s in read_manifest(project.output)["steps"]} == {
        "relay-a",
        "draw",
        "sum",
        "relay-more-look",
    }


def test_only_a_section_that_waits_brings_what_it_waits_for_and_no_more(project_at, tmp_path):
    project = project_at(PEEK.replace("WORD", "x"))
    assert call("run", tmp_path / "p.yaml", "--only", "more").exit_code == 0
    assert {s["step"] for s in read_manifest(project.output)["steps"]} == {"relay-a", "relay-more-look"}


def test_a_section_whose_file_could_not_be_made_is_not_run(project_at, tmp_path):
    text = "more: {links: {look: {reads: [p-out/sum.txt], peek: true}}}\ntoy: {units: 2, bad: [u1]}"
    project_at(text)
    done = call("run", tmp_path / "p.yaml")
    assert done.exit_code == 1
    assert "not run, as a file they need was not made: more" in done.stderr


def test_sections_that_wait_leave_data_in_the_output_folder_alone(project_at, tmp_path):
    project = project_at(
        PEEK.replace("WORD", "x").replace("toy: {units: 2}", "toy: {units: 2, data: p-out/my.csv}")
    )
    project.output.mkdir()
    (project.output / "my.csv").write_text("1")
    assert list(ready_sections(project).waiting) == ["more"]
    assert run_project(project, only=["sum"]).failed == []


def test_talik_run_plans_anew_what_looked_into_a_file_of_before(project_at, tmp_path):
    project_at(PEEK.replace("WORD", "x"))
    assert call("run", tmp_path / "p.yaml").exit_code == 0
    project = project_at(PEEK.replace("WORD", "y"))
    done = call("run", tmp_path / "p.yaml")
    assert done.exit_code == 0, done.stderr
    assert "u0 y" in (project.output / "a/u0.txt").read_text()
    assert verify(project.output) == []


PATTERN = 'more: {links: {all: {reads: ["p-out/a/*.txt"]}}}\nrelay: {links: {a: {units: 3, bad: [BAD]}}}'


def test_a_pattern_waits_for_every_file_of_it_that_is_made(project_at, tmp_path):
    project_at(PATTERN.replace("BAD", "u1"))
    assert call("run", tmp_path / "p.yaml").exit_code == 1
    # two of three are there; what takes all of them must not be made of two
    again = call("run", tmp_path / "p.yaml")
    assert again.exit_code == 1
    assert "not run, as a file they need was not made: more" in again.stderr
    project = project_at(PATTERN.replace("BAD", ""))
    (project.output / "a").mkdir(exist_ok=True)
    run_project(project, only=["relay-a"])
    (project.output / "a/u1.txt").unlink()  # killed while it published
    assert call("run", tmp_path / "p.yaml").exit_code == 0
    step = next(s for s in read_manifest(project.output)["steps"] if s["step"] == "relay-more-all")
    assert len(step["inputs"]) == 3


@pytest.mark.parametrize("name", ["sum.txt", "manifest.json"])
def test_a_file_of_somebody_else_is_not_written_over(project_at, tmp_path, name):
    project = project_at("toy: {units: 2}")
    project.output.mkdir()
    (project.output / name).write_text('{"name": "mine"}')
    done = call("run", tmp_path / "p.yaml")
    assert done.exit_code == 2
    assert f"{name} lies there already" in done.stderr
    assert [p.name for p in project.output.iterdir()] == [name]
    assert (project.output / name).read_text() == '{"name": "mine"}'
    (project.output / name).unlink()
    run_project(project)
    # what a run made is known without the manifest, even of another configuration, and with it without the work
    (project.output / "manifest.json").unlink()
    assert run_project(project_at("toy: {units: 3}")).failed == []
    shutil.rmtree(project.output / "work")
    assert run_project(project_at("toy: {units: 2}")).failed == []


def test_another_number_of_units_changes_what_is_made_of_them(project_at, tmp_path):
    def keys(units: tuple[str, ...]) -> list[str]:
        steps = [
            Step(name="members", units=units, work=print, config={}),
            Step(name="mean", units=("all",), work=print, config={}, needs=("members",)),
        ]
        return [p.key for p in make_plan(steps, tmp_path).steps]

    few, more = keys(("a", "b")), keys(("a", "b", "c"))
    assert few[0] == more[0]  # what is there stays
    assert few[1] != more[1]
