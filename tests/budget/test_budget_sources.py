"""A budget of several sources: posts of sections, of files and the published ones, with recipes of all."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from talik.budget.compute import compute, compute_sources
from talik.budget.settings import BudgetSettings
from talik.config import Frozen
from talik.errors import ConfigError, PostError
from talik.workflow import Job, Section, Step, make_project, plan_project, register_section, run_project

SETTINGS = BudgetSettings(draws=1000)
POST = "unit: {unit}, region: here, period: 2000-2020, approach: {approach}, source: Table 1"


def post(name: str, gas: str = "CH4", mean: float = 10.0, approach: str = "inventory") -> str:
    told = POST.format(unit=f"Tg {gas}-C yr-1", approach=approach)
    return f"  - {{id: {name}, gas: {gas}, mean: {mean}, low: {mean - 2}, high: {mean + 2}, {told}}}\n"


def posts_file(path: Path, *posts: str, recipes: str = "") -> Path:
    path.write_text("posts:\n" + "".join(posts) + recipes)
    return path


def recipe(name: str, *of: str) -> str:
    return f"recipes:\n  - {{id: {name}, gas: CH4, sum: [{', '.join(of)}]}}\n"


def derived(budget) -> dict[str, float]:
    made = budget.evaluation.posts
    return {name: made[name, gas].mean for name, gas in made if made[name, gas].recipe and gas == "CH4"}


def test_posts_and_recipes_of_all_sources_stand_together(tmp_path):
    a = posts_file(
        tmp_path / "a.yaml", post("wet", mean=20.0), post("lake"), recipes=recipe("a.sum", "wet", "lake")
    )
    b = posts_file(tmp_path / "b.yaml", post("fire", mean=1.0), recipes=recipe("b.sum", "fire"))
    both = tmp_path / "both.yaml"
    both.write_text(recipe("all", "a.sum", "b.sum"))
    found = derived(compute_sources({"a": a, "b": b}, SETTINGS, both))
    assert found == pytest.approx({"a.sum": 30.0, "b.sum": 1.0, "all": 31.0})


def test_files_without_recipes_have_totals_together(tmp_path):
    a = posts_file(tmp_path / "a.yaml", post("wet", mean=20.0))
    b = posts_file(tmp_path / "b.yaml", post("lake"), post("tower", approach="upscaling", mean=25.0))
    found = derived(compute_sources({"a": a, "b": b}, SETTINGS))
    assert found == pytest.approx({"total.inventory": 30.0, "total.upscaling": 25.0})


def test_a_post_that_two_sources_give_names_both(tmp_path):
    a, b = (posts_file(tmp_path / f"{name}.yaml", post("wet")) for name in "ab")
    with pytest.raises(ConfigError, match=r"post 'wet' \(CH4\) stands in inventory and in b\.yaml\. Rename"):
        compute_sources({"inventory": a, "b.yaml": b}, SETTINGS)


def test_two_recipes_of_one_post_name_both(tmp_path):
    a = posts_file(tmp_path / "a.yaml", post("wet"), recipes=recipe("all", "wet"))
    b = posts_file(tmp_path / "b.yaml", post("lake"), recipes=recipe("all", "lake"))
    with pytest.raises(
        ConfigError, match=r"recipe of 'all' \(CH4\) stands in a and, with other terms, in b\."
    ):
        compute_sources({"a": a, "b": b}, SETTINGS)


def test_published_posts_fill_what_no_source_gives(tmp_path):
    published = compute("reccap2", SETTINGS)
    old = next(p for p in published.evaluation.inputs if p.key == ("inventory.inland_waters", "CH4"))
    own = old.mean + 5.0
    told = (
        f"unit: Tg CH4-C yr-1, region: {old.region}, period: {old.period}, approach: inventory, source: ours"
    )
    numbers = f"mean: {own}, low: {own - 1}, high: {own + 1}"
    ours = posts_file(
        tmp_path / "ours.yaml", f"  - {{id: inventory.inland_waters, gas: CH4, {numbers}, {told}}}\n"
    )
    found = compute_sources({"ours": ours, "reccap2": "reccap2"}, SETTINGS)
    assert found.evaluation.posts["inventory.inland_waters", "CH4"].mean == own
    same = compute_sources({"reccap2": "reccap2"}, SETTINGS)
    assert {k: p.mean for k, p in same.evaluation.posts.items()} == {
        k: p.mean for k, p in published.evaluation.posts.items()
    }


def test_a_file_of_recipes_says_what_is_wrong(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("posts: []\n")
    with pytest.raises(PostError, match=r"r\.yaml: expected a key 'recipes'"):
        compute_sources({"reccap2": "reccap2"}, SETTINGS, path)


class MadeOptions(Frozen):
    name: str = "made"
    mean: float = 3.0


def made_steps(project, options: MadeOptions) -> list[Step]:
    config = options.model_dump(mode="json")
    return [
        Step(
            name="postmaker-posts",
            units=("posts",),
            work=partial(write_posts, name=options.name, mean=options.mean),
            config=config,
            suffix=".yaml",
        )
    ]


def write_posts(job: Job, name: str, mean: float) -> None:
    posts_file(job.out, post(name, mean=mean), recipes=recipe("made.sum", name))


register_section(Section("postmaker", MadeOptions, made_steps))


def project(tmp_path: Path, **budget):
    return make_project(
        {"talik": 1, "name": "x", "postmaker": {}, "budget": {"draws": 1000, **budget}}, tmp_path
    )


def test_a_project_names_sections_files_and_recipes(tmp_path):
    posts_file(tmp_path / "own.yaml", post("lake"))
    (tmp_path / "more.yaml").write_text(recipe("all", "made", "lake"))
    asked = project(tmp_path, posts=["postmaker", "own.yaml"], recipes="more.yaml")
    key = plan_project(asked)["budget"].key
    result = run_project(asked)
    assert result.failed == []
    told = json.loads((asked.output / "budget.json").read_text())
    means = {p["id"]: p["mean"] for p in told["posts"] if p["gas"] == "CH4"}
    assert means["all"] == pytest.approx(13.0)
    assert told["name"] == "postmaker + own.yaml"
    # names of their own, and none of the folder in which the project happens to lie
    assert set(told["provenance"]["inputs"]) == {"postmaker-posts.yaml", "own.yaml", "more.yaml"}
    (tmp_path / "more.yaml").write_text(recipe("all", "made"))
    assert plan_project(asked)["budget"].key != key


@pytest.mark.parametrize(
    ("posts", "message"),
    [
        (["inventory", "reccap2"], "budget.posts: inventory: the project has no section inventory"),
        (["postmaker", "postmaker"], "budget.posts: postmaker is named twice"),
        ([], "budget.posts"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, posts, message):
    with pytest.raises(ConfigError, match=message):
        plan_project(project(tmp_path, posts=posts))
