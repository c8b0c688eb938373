"""Approaches beside the truth: scores against sums by hand, and the `truth` section run through the workflow."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from tests.osse import tiny_world

from talik.errors import ConfigError, InputError
from talik.files import read_json
from talik.fusion.summary import QUALITY
from talik.osse import section
from talik.osse.components import components, write_components
from talik.osse.demo import told, write_project
from talik.osse.nature import Nature, truth_dataset, write_truth
from talik.osse.score import (
    Region,
    Score,
    large_enough,
    main_region,
    of_comparison,
    of_pixels,
    of_post,
    of_upscaling,
    summary,
    true_post,
    true_regions,
    whole_truth,
)
from talik.posts import Recipe, Term
from talik.posts.post import Post
from talik.regions import land_fraction, latitude_bands, regional_total, sectors
from talik.regions.named import DOMAIN, land_weights
from talik.tem.output import month_seconds
from talik.workflow import Job, Step, load_project, make_plan
from talik.workflow.run import run_plan

YEARS = (2002, 2005)


@pytest.fixture(scope="module")
def world() -> Nature:
    return tiny_world.nature()


@pytest.fixture(scope="module")
def truth(world: Nature) -> xr.Dataset:
    return truth_dataset(world)


@pytest.fixture(scope="module")
def parts() -> pd.DataFrame:
    """Each process has a number that its sums give away; years differ by one."""
    ground = {
        ("CO2", "vegetation_soil"): -1000.0,
        ("CO2", "fire"): 200.0,
        ("CO2", "inland_waters"): 30.0,
        ("CH4", "vegetation_soil"): 20.0,
        ("CH4", "inland_waters"): 4.0,
    }
    rows = [
        (region, gas, process, year, (tg + (year - 2001)) * share)
        for (gas, process), tg in ground.items()
        for year in range(2001, 2006)
        for region, share in ((DOMAIN, 1.0), ("alaska", 0.1))
    ]
    return pd.DataFrame(rows, columns=["region", "gas", "process", "year", "tg"])


def post(covers: str = "vegetation_soil winter", partly: str = "", **changes: Any) -> Post:
    held = {
        "id": "inventory.all",
        "gas": "CO2",
        "mean": -900.0,
        "low": -1100.0,
        "high": -700.0,
        "unit": "Tg CO2-C yr-1",
        "region": "made-up",
        "period": "2001-2005",
        "approach": "inventory",
        "source": "by hand",
        "covers": frozenset(covers.split()),
        "partly": frozenset(partly.split()),
    }
    if changes.get("gas") == "CH4":
        held["unit"] = "Tg CH4-C yr-1"
    return Post(**{**held, **changes})


# posts


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (post(), -998.0),
        (post(period="2003-2003"), -998.0),
        (post(period="2001-2002"), -999.5),
        (post(gas="CH4"), 22.0),
        (post("fire"), 202.0),
        (post("inland_waters", gas="CH4"), 6.0),
        (post("vegetation_soil winter fire inland_waters"), -998.0 + 202.0 + 32.0),
        # what a world does not have is zero
        (post("vegetation_soil winter abrupt_thaw geological lateral"), -998.0),
        (post("geological lateral"), 0.0),
        (post("fire", "fire_below_ground"), 202.0),
        # half of a year, part of a process, human processes, nothing at all: no truth
        (post("vegetation_soil"), None),
        (post("winter"), None),
        (post("vegetation_soil winter", "fire"), None),
        (post("fire", "winter"), None),
        (post("agriculture_waste"), None),
        (post(""), None),
        (post("fire", gas="CH4"), None),
        # years that the truth does not have
        (post(period="1980-1990"), None),
        # a part of the land, for what is of land alone
        (post(area_mkm2=9.4), None),
        (post(area_mkm2=9.6), -998.0),
        (post(area_mkm2=None), -998.0),
        (post("inland_waters", area_mkm2=0.4), 32.0),
    ],
)
def test_the_truth_of_what_a_post_covers(parts, told, expected):
    found = true_post(told, parts, 10.0)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_a_period_that_reaches_beyond_the_truth_has_none(parts):
    """A mean of the years that happen to be there is the truth of another period."""
    assert true_post(post(period="2000-2005"), parts, 10.0) is None
    assert true_post(post(period="2004-2009"), parts, 10.0) is None


def test_a_post_stands_beside_its_truth_and_the_whole(parts):
    row = of_post(post(), parts, 10.0)
    assert row is not None
    assert row["truth"] == pytest.approx(-998.0)
    assert row["error"] == pytest.approx(98.0)
    assert row["inside"] is True
    assert row["whole"] == pytest.approx(-998.0 + 202.0 + 32.0)
    assert whole_truth(parts, "CH4", "2001-2005", "alaska") == pytest.approx(2.8)
    outside = of_post(post(low=-901.0, high=-899.0), parts, 10.0)
    assert outside is not None
    assert outside["inside"] is False
    derived = of_post(post("fire inland_waters", id="bottom_up.natural", approach="derived"), parts, 10.0)
    assert derived is not None
    assert derived["truth"] == pytest.approx(234.0)
    assert of_post(post("winter"), parts, 10.0) is None
    apart = Recipe(
        id="difference.natural", gas="CO2", op="difference", terms=(Term("a", "CO2"), Term("b", "CO2"))
    )
    assert of_post(post(id="difference.natural", recipe=apart), parts, 10.0) is None


# comparison


TRUTHS = {DOMAIN: Region(-500.0, 2e12), "alaska": Region(-50.0, 5e11)}


def compared(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"variable": "nee", "rows": [{"sd": None, **row} for row in rows]}


def row(approach: str, model: str, mean: float | None, region: str = DOMAIN, **more: Any) -> dict[str, Any]:
    return {"approach": approach, "model": model, "mean": mean, "region": region, **more}


def test_limits_of_models_are_those_of_scipy():
    """Years of a model are averaged first; the t interval is that of scipy for the means of models."""
    values = {"a": [-210.0, -190.0], "b": [-260.0, -240.0], "c": [-300.0, -320.0], "d": [-150.0]}
    found = of_comparison(
        compared(
            *(row("process", m, v) for m, of in values.items() for v in of),
            row("process", "d", None),
            row("process", "a", -9.0, "bands 1"),
        ),
        TRUTHS,
    )
    assert len(found) == 1
    (score,) = found
    means = [float(np.mean(of)) for of in values.values()]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(means), scale=stats.sem(means))
    # g m-2 year-1 over 2e12 m2: 2 Tg for each
    assert (score.mean, score.low, score.high) == pytest.approx((2 * np.mean(means), 2 * low, 2 * high))
    assert score.inside is bool(2 * low <= -500.0 <= 2 * high)
    assert score.error == pytest.approx(score.mean + 500.0)
    assert score.note.startswith("4 models")
    assert score.to_dict()["inside"] == score.inside


def test_one_model_has_no_limits_and_its_own_name():
    (score,) = of_comparison(compared(row("upscaling", "forest", -100.0, "alaska")), TRUTHS)
    assert (score.name, score.low, score.high, score.inside) == ("forest", None, None, None)
    assert score.mean == pytest.approx(-50.0)
    assert score.error == pytest.approx(0.0)


@pytest.mark.parametrize(("n", "sd"), [(6, 30.0), (2, 30.0), (1, None)])
def test_limits_of_sites_are_those_of_scipy(n, sd):
    (score,) = of_comparison(compared(row("towers", "sites", -200.0, n_sites=n, sd=sd)), TRUTHS)
    if n == 1:
        assert (score.low, score.high) == (None, None)
        assert score.note == "mean of 1 site times area"
        return
    low, high = stats.t.interval(0.95, n - 1, loc=-200.0, scale=30.0 / np.sqrt(n))
    assert (score.low, score.high) == pytest.approx((2 * low, 2 * high))
    assert score.note == f"mean of {n} sites times area"
    json.dumps(score.to_dict(), allow_nan=False)


def test_sites_without_a_standard_deviation_have_no_limits():
    """Two sites whose file does not say how far apart they are: JSON has no NaN."""
    (score,) = of_comparison(compared(row("towers", "sites", -200.0, n_sites=2, sd=None)), TRUTHS)
    assert (score.low, score.high, score.inside) == (None, None, None)
    json.dumps(score.to_dict(), allow_nan=False)


# upscaling, the main region, sentences


UPSCALED = {
    "period": [2002, 2005],
    "fluxes": {
        "nee": {
            "variable": "nee",
            "limits": {"contain": ["trees", "sites"]},
            "regions": {
                DOMAIN: {"mean": -450.0, "low": -600.0, "high": -300.0},
                "alaska": {"mean": None, "low": None, "high": None},
                "elsewhere": {"mean": 1.0, "low": 0.0, "high": 2.0},
            },
        },
        "gpp": {
            "variable": "gpp",
            "limits": {"contain": ["trees"]},
            "regions": {DOMAIN: {"mean": 900.0, "low": None, "high": None}},
        },
    },
}


def test_upscaling_beside_the_truth():
    nee, gpp = of_upscaling(UPSCALED, {"nee": TRUTHS, "gpp": {DOMAIN: Region(1000.0, 2e12)}})
    assert (nee.region, nee.mean, nee.truth, nee.inside) == (DOMAIN, -450.0, -500.0, True)
    assert nee.note == "limits contain: trees, sites"
    assert (gpp.variable, gpp.error, gpp.inside) == ("gpp", -100.0, None)
    assert of_upscaling(UPSCALED, {}) == []


def score(approach: str, region: str, variable: str = "nee", mean: float = -1.0) -> Score:
    return Score(approach, approach, region, variable, mean, mean - 1.0, mean + 1.0, 0.0)


def test_the_main_region_is_that_of_most_approaches():
    held = [
        score("towers", "alaska"),
        score("towers", "bands"),
        score("process", "bands"),
        score("upscaling", DOMAIN),
        score("upscaling", DOMAIN),  # one approach twice is one
        score("upscaling", DOMAIN, "gpp"),
        score("inversions", DOMAIN, "gpp"),
        score("towers", DOMAIN, "gpp"),
    ]
    assert main_region(held, "nee") == "bands"
    assert main_region(held, "gpp") == DOMAIN
    assert main_region(held, "fch4") == DOMAIN
    assert main_region([score("a", "second"), score("a", "first")], "nee") == "second"


def test_sentences_say_where_the_truth_lies():
    inside, outside = Score("a", "a", "r", "nee", -90.0, -120.0, -60.0, -100.0), score("b", "r", mean=50.0)
    none = Score("c", "TEM", "r", "nee", -0.25, None, None, -100.0)
    lines = summary([inside, outside, none], [], "nee")
    assert lines[0] == "a: -90 (-120, -60) Tg C yr-1, 10 above the truth of -100, which lies inside."
    assert lines[1] == "b: 50 (49, 51) Tg C yr-1, 50 above the truth of 0, which lies outside."
    assert (
        lines[2]
        == "c (TEM): -0.25 (no limits) Tg C yr-1, 100 above the truth of -100, which has nothing to lie in."
    )
    budget = {
        "post": "bottom_up.natural", "gas": "CH4", "mean": 22.0, "low": 20.0, "high": 25.0, "truth": 24.0,
        "whole": 28.0, "inside": True,
    }  # fmt: skip
    assert summary([], [budget, {**budget, "post": "inventory.x"}], "nee") == [
        "bottom_up.natural CH4: 22 (20, 25) Tg yr-1; the truth of what it covers, 24, lies inside; of all processes 28."
    ]
    assert summary([], [{**budget, "whole": 24.0 + 1e-9}], "nee")[0].endswith("covers, 24, lies inside.")


# regions


def test_true_regions_are_regional_totals(truth, world):
    """Sectors and a band with the sea, by `regional_total` month by month."""
    grid, seconds = world.land.grid, np.concatenate([month_seconds(y) for y in range(YEARS[0], YEARS[1] + 1)])
    found = true_regions(truth, "gpp", ("bands:48,66,84", "sectors"), YEARS)
    assert next(iter(found)) == DOMAIN
    flux = truth["gpp"].sel(time=slice(str(YEARS[0]), str(YEARS[1])))
    land = land_fraction(grid)
    for weights, given in ((sectors(grid), None), (latitude_bands(grid, (48.0, 66.0, 84.0)), land)):
        rates = regional_total(flux, weights, land_fraction=given, min_coverage=0.01)["gpp"]
        for region in weights["region"].values:
            tg = float((rates.sel(region=region).values * seconds).sum()) * 1e-9 / (YEARS[1] - YEARS[0] + 1)
            assert found[str(region)].tg == pytest.approx(tg, rel=1e-6), region
    whole = land_weights(["bands:48,84"], grid, land).isel(region=0) * grid.cell_area()
    kept = np.isfinite(truth["gpp"].isel(time=0)).values
    assert found[DOMAIN].area_m2 == pytest.approx(float(whole.values[kept].sum()), rel=1e-9)


def test_the_truth_of_the_domain_is_that_of_its_table(truth, world):
    table = components(world)
    table = table[
        (table["region"] == DOMAIN) & table["year"].between(*YEARS) & (table["process"] == "vegetation_soil")
    ]
    means = table.groupby("gas")["tg"].mean()
    assert true_regions(truth, "nee", (), YEARS)[DOMAIN].tg == pytest.approx(means["CO2"], rel=1e-6)


def test_years_that_the_truth_lacks_are_said(truth):
    with pytest.raises(InputError, match="nee has no year 2007; found 2001-2006"):
        true_regions(truth, "nee", (), (2003, 2008))


# pixels


def fused(truth: xr.Dataset, shift: float) -> xr.Dataset:
    """Members around the true rates of two cells, three years; as `talik.fusion.summary` names them."""
    rng = np.random.default_rng(4)
    places = np.argwhere(
        np.isfinite(truth["nee"].isel(time=0).values) & (truth["gpp"].mean("time").values > 0)
    )[[3, 20]]
    lat, lon = truth["lat"].values[places[:, 0]], truth["lon"].values[places[:, 1]]
    years = [2003, 2004, 2005]
    data = {}
    seconds = 365.25 * 86400.0
    spread = rng.normal(size=(2, 400, 1)) * 10.0
    for name in ("nee", "gpp", "ra", "rh"):
        true = (truth["reco"] - truth["rh"]).assign_attrs(truth["rh"].attrs) if name == "ra" else truth[name]
        annual = np.array(
            [
                [
                    float((true[{"lat": j, "lon": i}].sel(time=str(y)).values * month_seconds(y)).sum()) * 1e3
                    for y in years
                ]
                for j, i in places
            ]
        )
        grams = annual[:, None, :] + shift + spread
        data[f"{name}_annual"] = (("cell", "member", "year"), grams * 1e-3 / seconds, {"units": "kg m-2 s-1"})
    data["quality"] = ("cell", np.array([0, 2], np.int8))
    data["pixel"] = ("cell", ["forest", "tundra"])
    return xr.Dataset(data, {"lat": ("cell", lat + 0.4), "lon": ("cell", lon - 0.4), "year": years})


def test_pixels_stand_beside_their_cells(truth):
    found = of_pixels(fused(truth, 0.0), truth)
    assert [(r["pixel"], r["quantity"]) for r in found] == [
        (pixel, name) for pixel in ("forest", "tundra") for name in ("nee", "gpp", "reco")
    ]
    for entry in found:
        wide = 2.0 if entry["quantity"] == "reco" else 1.0  # two parts with the same draw
        assert entry["mean"] == pytest.approx(entry["truth"], abs=3.0 * wide + 0.01 * abs(entry["truth"]))
        assert entry["high"] - entry["low"] == pytest.approx(2 * 1.96 * 10.0 * wide, rel=0.2)
        assert entry["inside"] is True
        assert entry["units"] == "g m-2 year-1"
    assert [r["converged"] for r in found] == [True] * 3 + [False] * 3
    assert found[-1]["quality"] == QUALITY[2]
    assert not any(r["inside"] for r in of_pixels(fused(truth, 500.0), truth))
    lost = fused(truth, 0.0)
    for name in ("nee_annual", "gpp_annual"):
        lost[name] = lost[name].where(lost["pixel"] != "tundra")
    assert [(r["pixel"], r["quantity"]) for r in of_pixels(lost, truth)][3:] == [("tundra", "reco")]


# the section


POSTS = """posts:
  - {id: upscaling.all, gas: CO2, mean: -450, low: -2000, high: 2000, unit: Tg CO2-C yr-1, region: made-up,
     period: 2002-2005, approach: upscaling, source: by hand, covers: [vegetation_soil, winter]}
  - {id: upscaling.winter, gas: CO2, mean: 50, low: 40, high: 60, unit: Tg CO2-C yr-1, region: made-up,
     period: 2002-2005, approach: upscaling, source: by hand, covers: [winter]}
"""


def copy(job: Job, source: Path) -> None:
    shutil.copyfile(source, job.out)


@pytest.fixture
def folder(tmp_path: Path, world: Nature, truth: xr.Dataset) -> Path:
    write_truth(tmp_path / "truth.nc", world)
    write_components(tmp_path / "truth.csv", world)
    (tmp_path / "upscaling.json").write_text(json.dumps(UPSCALED))
    rows = [row("process", m, v) for m, v in (("a", -20.0), ("b", -30.0))]
    rows += [row("upscaling", "forest", -10.0), row("upscaling", "forest", -11.0, "siberia")]
    (tmp_path / "compare.json").write_text(json.dumps(compared(*rows)))
    (tmp_path / "posts.yaml").write_text(POSTS)
    fused(truth, 0.0).to_netcdf(tmp_path / "fused.nc", engine="netcdf4")
    (tmp_path / "p.yaml").write_text(
        "talik: 1\nname: p\nperiod: {first_year: 2002, last_year: 2005}\nbudget: {}\n"
    )
    return tmp_path


SETTINGS = section.TruthSettings(fluxes="truth.nc", components="truth.csv", regions=("sectors",))


def steps_of(folder: Path, held: tuple[str, ...], settings: section.TruthSettings = SETTINGS) -> list[Step]:
    """The section's step in a project with these sections, each of which is a file of the folder."""
    base = load_project(folder / "p.yaml").base
    project = SimpleNamespace(base=base, sections=dict.fromkeys(held), resolve=lambda name: folder / name)
    return section.steps(project, settings)  # type: ignore[arg-type]


def test_upscaling_is_judged_by_the_truth_of_its_own_years(folder, truth):
    content = json.loads((folder / "upscaling.json").read_text())
    (folder / "upscaling.json").write_text(json.dumps({**content, "period": [2003, 2004]}))
    found = run(folder, ("upscaling",), {n: FILES[n] for n in ("upscaling", "upscaling-posts")})
    own = true_regions(truth, "nee", ("sectors",), (2003, 2004))[DOMAIN].tg
    assert own != pytest.approx(true_regions(truth, "nee", ("sectors",), YEARS)[DOMAIN].tg, rel=1e-6)
    assert found["approaches"][0]["truth"] == pytest.approx(own, rel=1e-6)


def test_small_regions_are_left_out_where_asked(truth):
    found = true_regions(truth, "nee", ("sectors",), YEARS)
    sizes = sorted(one.area_m2 / found[DOMAIN].area_m2 for one in found.values())
    kept = large_enough(found, (sizes[0] + sizes[1]) / 2)
    assert len(kept) == len(found) - 1
    assert large_enough(found, 0.0) == found
    assert set(large_enough(found, 1.0)) == {DOMAIN}


def run(
    folder: Path, held: tuple[str, ...], files: dict[str, tuple[str, str]], settings: Any = SETTINGS
) -> dict[str, Any]:
    """truth.json of a project whose other sections copy a file each; files : unit and file by step."""
    made = [
        Step(
            name=name,
            units=(unit,),
            work=partial(copy, source=folder / file),
            config={},
            suffix=Path(file).suffix,
        )
        for name, (unit, file) in files.items()
    ]
    plan = make_plan([*steps_of(folder, held, settings), *made], folder / "out")
    done = run_plan(load_project(folder / "p.yaml"), plan)
    assert done.failed == [], done.failed
    return dict(read_json(folder / "out" / "truth.json"))


FILES = {
    "upscaling": ("upscaling", "upscaling.json"),
    "compare": ("compare", "compare.json"),
    "upscaling-posts": ("posts", "posts.yaml"),
    "fusion": ("result", "fused.nc"),
}


def test_the_section_judges_all_that_the_project_has(folder, truth):
    found = run(folder, ("upscaling", "compare", "fusion"), FILES)
    assert (found["format"], found["variable"], found["period"]) == ("talik-truth-1", "nee", [2002, 2005])
    assert found["regions"] == [DOMAIN, "alaska", "canada", "europe", "siberia"]
    kinds = [(s["approach"], s["region"], s["variable"]) for s in found["approaches"]]
    # what upscaling says of itself, with its limits, goes before what the comparison has of it
    assert kinds == [
        ("upscaling", DOMAIN, "nee"),
        ("upscaling", DOMAIN, "gpp"),
        ("process", DOMAIN, "nee"),
        ("upscaling", "siberia", "nee"),
    ]
    true = true_regions(truth, "nee", ("sectors",), YEARS)
    assert found["approaches"][0]["truth"] == pytest.approx(true[DOMAIN].tg, rel=1e-6)
    assert found["approaches"][2]["mean"] == pytest.approx(-25.0 * true[DOMAIN].area_m2 * 1e-12, rel=1e-9)
    assert [p["post"] for p in found["posts"]] == ["upscaling.all"]
    assert found["posts"][0]["truth"] == pytest.approx(true[DOMAIN].tg, rel=1e-6)
    assert len(found["pixels"]) == 6
    assert found["budget"] == []
    assert [line.partition(":")[0] for line in found["summary"]] == ["upscaling", "process"]
    text = told(folder / "out")
    assert "A made-up Arctic, 2002-2005, domain" in text
    lines = [line.split("  ")[1] for line in text.splitlines() if line.startswith("  ") and line[2] != " "]
    assert lines[:4] == ["upscaling", "process", "forest nee (converged)", "forest gpp (converged)"]
    assert "tundra nee (unconverged)" in lines
    assert "upscaling.all CO2" in lines
    assert " yes" in text
    assert text.isascii()


def test_the_section_takes_what_there_is(folder):
    found = run(folder, ("compare",), {"compare": FILES["compare"]})
    assert {s["approach"] for s in found["approaches"]} == {"process", "upscaling"}
    assert found["posts"] == found["pixels"] == found["budget"] == []
    (step,) = steps_of(folder, ("inventory", "budget", "fusion", "trends"))
    assert step.needs == ("budget", "fusion", "inventory-posts")


@pytest.mark.parametrize(("label", "posts"), [("made-up", ["upscaling.all"]), ("elsewhere", [])])
def test_only_posts_of_the_region_are_judged(folder, label, posts):
    files = {n: FILES[n] for n in ("upscaling", "upscaling-posts")}
    found = run(folder, ("upscaling",), files, SETTINGS.model_copy(update={"label": label}))
    assert [p["post"] for p in found["posts"]] == posts


def test_what_cannot_be_judged_is_said(folder):
    with pytest.raises(ConfigError, match="nothing to judge"):
        steps_of(folder, ("trends", "report"))
    (folder / "p.yaml").write_text("talik: 1\nname: p\nbudget: {}\n")
    with pytest.raises(ConfigError, match="the truth of which years"):
        steps_of(folder, ("compare",))


def test_another_seed_is_refused_where_a_project_is(tmp_path):
    path = write_project(tmp_path, 1)
    held = path.read_text()
    assert write_project(tmp_path, 1) == path
    with pytest.raises(ConfigError, match="is not the demo with seed 2"):
        write_project(tmp_path, 2)
    assert path.read_text() == held
    assert write_project(tmp_path, 2, force=True).read_text() != held
    project = load_project(path)
    assert project.base.seed == 2


def test_inversions_are_told_to_hold_the_waters():
    rows = [
        {"approach": "air", "model": m, "year": 2001, "region": "all", "mean": v, "sd": 1.0}
        for m, v in (("a", -1.0), ("b", -3.0))
    ]
    sources = [{"approach": "air", "model": m, "kind": "inversion"} for m in "ab"]
    truth = {"all": Region(-2.0, 1e12)}
    (one,) = of_comparison({"variable": "nee", "rows": rows, "sources": sources}, truth)
    assert one.mean == pytest.approx(-2.0)
    assert one.note == "2 models, t interval of their mean; holds CO2 of inland waters, which NEE has not"
    (other,) = of_comparison({"variable": "fch4", "rows": rows, "sources": sources}, truth)
    assert other.note == "2 models, t interval of their mean"


def test_recipes_of_somebody_else_are_not_written_over(tmp_path):
    (tmp_path / "recipes.yaml").write_text("recipes: []\n")
    with pytest.raises(ConfigError, match=r"recipes\.yaml: is there already and is not that of the demo"):
        write_project(tmp_path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["recipes.yaml"]
    assert (tmp_path / "recipes.yaml").read_text() == "recipes: []\n"


def test_a_density_becomes_a_total_with_the_land_that_it_is_of():
    """A model without the ice of a region has less land than the truth."""
    rows = [
        {"approach": "p", "model": m, "year": y, "region": "all", "mean": v, "sd": 1.0, "area_m2": area}
        for m, v, area in (("a", -1.0, 8e11), ("b", -3.0, 5e11))
        for y in (2001, 2002)
    ]
    (one,) = of_comparison({"variable": "nee", "rows": rows}, {"all": Region(-2.0, 1e12)})
    assert one.mean == pytest.approx((-0.8 - 1.5) / 2)
    half = stats.t.ppf(0.975, 1) * np.std([-0.8, -1.5], ddof=1) / np.sqrt(2)
    assert (one.low, one.high) == pytest.approx((one.mean - half, one.mean + half))
