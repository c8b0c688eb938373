"""The project file is strict, frozen and hashable."""

from __future__ import annotations

import pytest
from toy_approach import ToyOptions

from talik.config import Frozen
from talik.errors import ConfigError, InputError
from talik.workflow import Section, load_project, make_project, plan_project, register_section


def test_a_project_is_read_and_frozen(project_at):
    project = project_at("seed: 3\nperiod: {first_year: 2001, last_year: 2020}\ntoy: {factor: 2.0}")
    assert project.base.period.last_year == 2020
    assert project.sections["toy"] == ToyOptions(factor=2.0)
    assert project.output.name == "p-out"
    with pytest.raises(Exception, match="frozen"):
        project.base.seed = 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("toys: {}", "toys: unknown key; did you mean 'toy'?"),
        ("nonsense: 1", "nonsense: unknown key; known are: talik, name,"),
        ("toy: {factr: 2}", "toy.factr: unknown key; did you mean 'factor'?"),
        ("toy: {factor: abc}", "toy.factor: Input should be a valid number.*found 'abc'"),
        ("toy: {factor: .nan}", "toy.factor: Input should be a finite number"),
        ("toy: 3", "toy: expected keys below it, found 3"),
        ("seed: -1\ntoy: {}", "seed: Input should be greater than or equal to 0; found -1"),
        ("period: {first_year: 2020, last_year: 2001}", "last_year 2001 lies before first_year 2020"),
        ("run: {wrkers: 2}", "run.wrkers: unknown key; did you mean 'workers'?"),
        ("toy: {}\ntoy: {}", "key 'toy' appears twice"),
        ("toy: *x", r"alias \*x"),
    ],
)
def test_mistakes_are_named_with_their_place(project_at, text, message):
    with pytest.raises(ConfigError, match=message):
        project_at(text)


def test_all_mistakes_come_at_once(project_at):
    with pytest.raises(ConfigError, match=r"(?s)p\.yaml: 3 problems:.*toy\.a.*toy\.b.*seed"):
        project_at("toy: {a: 1, b: 2}\nseed: x")


def test_format_version_and_shape(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("name: x\n")
    with pytest.raises(ConfigError, match="talik: is missing"):
        load_project(path)
    path.write_text("talik: 2\nname: x\n")
    with pytest.raises(ConfigError, match="talik: Input should be 1; found 2"):
        load_project(path)
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match="a project file holds keys"):
        load_project(path)


def test_the_key_covers_the_answer_and_nothing_else(project_at):
    key = project_at("toy: {}").key()
    assert project_at("toy: {}\nrun: {workers: 7}\ntitle: other", "q").key() == key
    assert project_at("toy: {factor: 2}", "r").key() != key
    assert project_at("toy: {}\nseed: 1", "s").key() != key


def test_sections_keep_their_meaning():
    with pytest.raises(ConfigError, match="section 'toy' exists already"):
        register_section(Section("toy", ToyOptions, lambda _p, _o: []))
    with pytest.raises(ConfigError, match="section 'seed' exists already"):
        register_section(Section("seed", ToyOptions, lambda _p, _o: []))
    assert issubclass(ToyOptions, Frozen)


def test_a_project_that_does_nothing_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no section that does anything"):
        plan_project(make_project({"talik": 1, "name": "x"}, tmp_path))


def test_built_in_sections_are_read(tmp_path):
    project = make_project({"talik": 1, "name": "x", "budget": {"horizon": 20}, "report": None}, tmp_path)
    assert {s.name for s in project.steps()} == {"budget", "report", "figures"}
    with pytest.raises(ConfigError, match=r"budget\.horizon: .*found 30"):
        make_project({"talik": 1, "name": "x", "budget": {"horizon": 30}}, tmp_path)


def test_missing_inputs_stop_the_plan(project_at):
    with pytest.raises(
        InputError, match=r"1 input file of the plan not found:\n  - draw: gone\.csv = .*gone\.csv"
    ):
        plan_project(project_at("toy: {data: gone.csv}"))
