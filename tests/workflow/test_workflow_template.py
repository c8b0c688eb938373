"""`talik init`: a file that loads as it is and with every setting uncommented, and says what each one means."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from talik.cli import app
from talik.config import Frozen
from talik.errors import ConfigError
from talik.workflow import Section, load_project, plan_project, register_section
from talik.workflow.project import section_named, section_names
from talik.workflow.template import template

BUILT_IN = ("budget", "calibration", "compare", "ensemble", "forcing", "fusion", "inventory", "report", "tem")
OURS = [n for n in section_names() if n in {*BUILT_IN, "upscaling", "trends", "truth"}]


def uncommented(text: str) -> str:
    """Every setting as the file's head says: `# ` taken away."""
    return "\n".join(re.sub(r"^(\s*)# ", r"\1", line) for line in text.split("\n"))


def load(tmp_path, text: str):
    path = tmp_path / "project.yaml"
    path.write_text(text)
    return load_project(path)


@pytest.mark.parametrize("section", OURS)
def test_each_section_loads_as_it_is_and_with_every_default_written_out(tmp_path, section):
    text = template("here", [section])
    bare = load(tmp_path, text)
    assert list(bare.sections) == [section]
    full = load(tmp_path, uncommented(text))
    assert full.key() == bare.key()
    assert full.base == bare.base
    fields = section_named(section).model.model_fields
    assert full.sections[section].model_fields_set == set(fields)


@pytest.mark.parametrize("section", OURS)
def test_words_are_those_of_the_settings(section):
    words = " ".join(
        re.sub(r"^\s*## ?", "", line) for line in template("here", [section]).split("\n") if "##" in line
    )
    for field in section_named(section).model.model_fields.values():
        if field.description:
            assert " ".join(field.description.replace("``", "`").split("\n\n")[0].split()) in words


def test_all_sections_together_load(tmp_path):
    text = template("here", OURS)
    assert set(load(tmp_path, text).sections) == set(OURS)
    assert load(tmp_path, uncommented(text)).key() == load(tmp_path, text).key()


def test_sections_beside_upscaling_read_what_it_makes(tmp_path):
    project = load(tmp_path, template("here", ["trends", "compare", "upscaling"]))
    made = "output/upscaling-fluxes.nc"
    assert project.sections["trends"].fluxes == {"forest": made}
    assert project.sections["compare"].approaches["upscaling"].fluxes == {"forest": made}
    alone = load(tmp_path, template("here", ["trends"]))
    assert alone.sections["trends"].fluxes == {"forest": "data/upscaled.nc"}


def test_the_file_for_nothing_in_particular_can_be_run(tmp_path):
    project = load(tmp_path, template("here"))
    assert {p.step.name for p in plan_project(project).steps} >= {"budget", "report"}
    assert not re.search(r".{121}", template("here"))


class Needy(Frozen):
    data: str


register_section(Section("needy", Needy, lambda _p, _o: []))


def test_what_cannot_be_made_is_said():
    with pytest.raises(ConfigError, match="--for budgets: no such section; choose from: budget, "):
        template("here", ["budgets"])
    with pytest.raises(ConfigError, match="--for needy: the section brings no example of data"):
        template("here", ["needy"])


def test_init_never_overwrites_without_force(tmp_path):
    folder = tmp_path / "new" / "place"
    done = CliRunner().invoke(app, ["init", str(folder), "--for", "inventory"])
    assert done.exit_code == 0, done.output
    path = folder / "project.yaml"
    assert load_project(path).base.name == "place"
    path.write_text("mine")
    done = CliRunner().invoke(app, ["init", str(folder)])
    assert done.exit_code == 2
    assert "project.yaml: exists already" in done.stderr
    assert path.read_text() == "mine"
    assert CliRunner().invoke(app, ["init", str(folder), "--force"]).exit_code == 0
    assert set(load_project(path).sections) == {"budget", "report"}
