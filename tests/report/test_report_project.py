"""The page of a whole project: its parts, its escapes, its notebook, and what it needs for any set of sections."""

from __future__ import annotations

import io
import json
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from made_project import EAST, TITLE, WEST
from made_results import made_results

from talik.errors import InputError
from talik.osse.demo import write_project
from talik.regions.grid import EqualAreaGrid, LatLonGrid
from talik.report.estimates import estimates, truths
from talik.report.notebook import notebook
from talik.report.parts import courses, maps, regions, summary
from talik.report.parts.methods import methods
from talik.report.project_page import PROJECT_FIGURES, draw_project, render_project
from talik.report.reduce import canvas, on_canvas
from talik.report.results import Drawn, read_drawn, results_in
from talik.report.section import write_fluxes
from talik.report.sections import Dataset, Wanted
from talik.report.style import SERIES
from talik.workflow import Job, load_project, make_project, read_manifest, run_project

VOID = {"meta", "link", "br", "img", "source", "hr", "input"}


class Page(HTMLParser):
    """Tags, headings, links and text of a page; open tags must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.heads: list[dict[str, str | None]] = []
        self.levels: list[int] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self.levels.append(int(tag[1]))
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.links.append(values["href"])
        else:
            self.loads += [values[k] for k in ("src", "href", "srcset", "data") if values.get(k)]
        if tag == "img":
            self.images.append(values)
        if tag == "th":
            self.heads.append(values)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def text(made_run: Path) -> str:
    return (made_run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def held(made_run: Path):
    names = ["budget.json", "compare.json", "compare-agreement.nc"]
    small = sorted(f"report-fluxes/{p.name}" for p in (made_run / "report-fluxes").glob("*.nc"))
    return results_in(made_run, [*names, *small], title=TITLE)


def test_the_page_is_one_quiet_file_with_its_parts_in_order(page: Page, text: str):
    assert page.loads
    assert all(load.startswith("data:") for load in page.loads)
    assert not re.search(r"url\((?!data:)", text)
    assert "script" not in page.tags
    assert page.open == []
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(set(page.ids)) == len(page.ids)
    wanted = [
        "summary",
        "maps",
        "regions",
        "seasons",
        "years",
        "budget",
        "gwp",
        "validation",
        "expand",
        "audit",
    ]
    wanted += ["methods", "provenance"]
    assert [i for i in page.ids if i in wanted] == wanted
    assert len(text) < 6_000_000


def test_headings_do_not_jump_and_everything_has_words(page: Page):
    assert page.levels[0] == 1
    assert page.levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(page.levels, page.levels[1:], strict=False))
    assert len(page.images) >= 2 + 2 * 12
    assert all(len(image["alt"]) > 40 for image in page.images)
    assert all(head.get("scope") for head in page.heads)
    assert {"nav", "main", "header", "footer", "fieldset", "legend"} <= set(page.tags)
    assert page.text.startswith("A <b>made") or "Skip to the numbers" in page.text


def test_what_a_user_wrote_stays_text(page: Page, text: str):
    assert WEST in page.text
    assert TITLE in page.text
    assert "<script" not in text
    assert "<b>made</b>" not in text
    assert "alert('west')</script> & 49" not in page.text


def test_the_answer_is_made_of_the_numbers(page: Page, held):
    means = regions.synthesis(held).mean
    dated = replace(held, answer={"period": {"first_year": 2000, "last_year": 2001}})
    said = " ".join(summary.answer(dated, estimates(held)))
    assert said in page.text
    assert "In 1 of 2 regions" in said or "In 2 of 2 regions" in said
    assert "Three approaches" in said
    assert f"{np.nanmin(means.to_numpy()):.0f}".replace("-", "−") in said
    assert means.loc[EAST, "fields"] == pytest.approx(-2.0, rel=1e-5)


def test_months_and_years_add_up(held):
    """The fields are constant, so their months are days of the year, and twelve months are a year."""
    drawn = next(d for d in held.datasets if d.of.model == "weak").data
    assert drawn["season"].sum("month").to_numpy() == pytest.approx(-10.0, rel=1e-5)
    assert drawn["yearly"].to_numpy() == pytest.approx(-10.0, rel=1e-5)
    annual, months = drawn["annual"].to_numpy(), drawn["month_map"].sum("month", skipna=False).to_numpy()
    assert np.isfinite(annual).sum() > 5000
    np.testing.assert_allclose(months, annual, rtol=1e-4)
    np.testing.assert_allclose(annual[np.isfinite(annual)], -10.0, rtol=1e-5)
    yearly = courses.series(held)[EAST]
    for name, (_, months) in courses.cycles(held)[EAST].items():
        assert months.sum() == pytest.approx(np.mean(yearly[name][1]), rel=1e-3)


def test_provenance_has_inputs_steps_and_the_project(page: Page, made_run: Path):
    steps = {s["step"]: s["key"] for s in read_manifest(made_run)["steps"]}
    for name in ("budget", "compare", "compare-agreement", "report-fluxes"):
        assert f"{name} {steps[name]}" in page.text
    assert "reccap2_posts.csv sha256" in page.text
    assert '"least_coverage"' in page.text


@pytest.mark.science
def test_two_workers_give_the_same_bytes(made_run: Path):
    """Everything before the report stays; it has tests of its own."""
    names = ("report.html", "report.ipynb", "report-fluxes/upscaling+forest.nc")
    before = {name: (made_run / name).read_bytes() for name in names}
    for old in [*made_run.glob("work/report-*"), made_run / "report-fluxes"]:
        shutil.rmtree(old)
    for name in names[:2]:
        (made_run / name).unlink()
    result = run_project(load_project(made_run.parent / "project.yaml"), workers=2)
    assert not result.failed
    assert {o.step for o in result.outcomes if o.status == "done"} == {"report-fluxes", "report"}
    assert {name: (made_run / name).read_bytes() for name in names} == before


def test_the_notebook_runs_where_it_lies(made_run: Path, tmp_path: Path, monkeypatch):
    told = json.loads((made_run / "report.ipynb").read_text(encoding="utf-8"))
    assert told["nbformat"] == 4
    ids = [cell["id"] for cell in told["cells"]]
    assert len(set(ids)) == len(ids)
    words = "".join("".join(c["source"]) for c in told["cells"] if c["cell_type"] == "markdown")
    assert "<script" not in words
    assert "<b>" not in words
    if find_spec("nbclient") and find_spec("ipykernel"):
        import nbformat
        from nbclient import NotebookClient

        book = nbformat.reads(json.dumps(told), as_version=4)
        nbformat.validate(book)
        monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            monkeypatch.setenv(name, str(tmp_path / name))
        NotebookClient(book, timeout=300, resources={"metadata": {"path": str(made_run)}}).execute()
        shown = [out.get("data", {}) for c in book.cells if c.cell_type == "code" for out in c.outputs]
        drawn = [data for data in shown if "image/svg+xml" in data]
        assert len(drawn) >= 8
    else:
        monkeypatch.chdir(made_run)
        pytest.importorskip("IPython", reason="the notebook shows its figures with IPython")
        code = "\n".join("".join(c["source"]) for c in told["cells"] if c["cell_type"] == "code")
        with redirect_stdout(io.StringIO()):
            exec(compile(code, "report.ipynb", "exec"), {})  # noqa: S102


@pytest.mark.parametrize("name", PROJECT_FIGURES)
def test_every_figure_is_drawn(held, name: str):
    assert draw_project(held, f"{name}.png").startswith(b"\x89PNG")


# all sections at once, from made-up results


@pytest.fixture(scope="module")
def whole() -> Page:
    return Page(render_project(made_results()))


def test_every_section_has_its_part(whole: Page):
    for shown in (
        "The truth, known here, is −250 Tg C yr⁻¹: it lies within the limits of 2 of 3, not of fusion.",
        "Limits in this world hold the truth.",
        "area of applicability",
        "Against the truth",
        "Natural ecosystems, bottom-up",
        "50 % of 4 pixels converged; 1 had input that could not be used.",
        "Carbon 1e-12",
        "Theil-Sen",
        "−1.50",
        "Model-data fusion",
    ):
        assert shown in whole.text, shown
    assert "script" not in whole.tags
    assert WEST in whole.text


def test_the_truth_is_drawn_in_its_region(whole: Page):
    found = estimates(made_results())
    assert truths(found) == {"domain": -250.0, WEST: -40.0}
    figure = regions.totals_figure(found)
    upright = [line for line in figure.axes[0].lines if line.get_linewidth() == 1.6]
    lines = [line.get_xdata()[0] for line in upright]
    assert lines == [-250.0]


def test_intervals_are_counted_in_the_regions_that_the_page_shows():
    """A region of one approach alone is not shown where others have several."""
    results = made_results()
    rows = results.truth["approaches"]
    first = next(row for row in rows if row["inside"] is not None)
    more = {**results.truth, "approaches": [*rows, {**first, "region": "of one alone"}]}
    said = [s for s in summary.part(results)["more"] if "intervals" in s]
    assert len(said) == 1
    assert [s for s in summary.part(replace(results, truth=more))["more"] if "intervals" in s] == said


def test_without_truth_the_approaches_speak_for_themselves():
    results = replace(made_results(), truth=None)
    found = estimates(results)
    assert {(e.approach, e.region, e.mean) for e in found} == {
        ("upscaling", "domain", -300.0),
        ("upscaling", WEST, -50.0),
        ("fusion", "domain", -180.0),
    }
    said = " ".join(summary.answer(results, found))
    assert "between −300 and −180 Tg C yr⁻¹; all say a sink" in said
    assert "All limits share the range (−200, −190)" in said
    assert Page(render_project(results)).open == []


def test_the_land_of_a_number_and_accepted_errors_are_said():
    text = Page(render_project(replace(made_results(), truth=None))).text
    assert (
        "Upscaling of the whole domain: 20.3 million km² of land, 17 % of it (in area and time) unlike all sites; "
        "cells count whole, for no land_fraction was given."
    ) in text
    assert "NEE, accepted error: lat, lon: 0, 0 (4 rows)" in text
    assert "folds as far from the rest as the map is from the sites (kNNDM)" in text


def test_an_approach_has_one_colour_in_all_figures():
    found = estimates(replace(made_results(), truth=None))
    figure = regions.totals_figure(found, order=["towers", "fusion", "upscaling"])
    dots = {
        line.get_color()
        for line in figure.axes[0].get_lines()
        if line.get_marker() not in ("", "None", None) and line.get_xdata()[0] == -300.0
    }
    assert dots == {SERIES[2]}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("truth", "truth.json"),
        ("upscaling", "upscaling.json"),
        ("trends", "trends.json"),
        ("tem", "tem-audit.json"),
        ("fusion", "fusion-check.json"),
        ("fusion_regions", "fusion-regions.json"),
    ],
)
def test_a_result_without_its_content_is_named(name: str, file: str):
    results = made_results()
    if name in ("upscaling", "fusion_regions"):
        results = replace(results, truth=None)
    with pytest.raises(InputError, match=rf"{re.escape(file)}: is not what this version of talik writes"):
        render_project(replace(results, **{name: {"other": 1}}))


def test_the_notebook_of_every_section_is_python():
    told = json.loads(notebook(made_results()))
    for cell in told["cells"]:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), cell["id"], "exec")


# what a page needs


def needs(sections: dict, folder: Path) -> dict[str, tuple[str, ...]]:
    project = make_project({"talik": 1, "name": "x", **sections, "report": {}}, folder)
    return {s.name: s.needs for s in project.steps() if s.name in ("report", "report-fluxes", "figures")}


def test_a_page_needs_what_the_project_has(tmp_path: Path):
    assert needs({"budget": {}}, tmp_path) == {"report": ("budget",), "figures": ("budget",)}
    assert needs({"inventory": {}}, tmp_path)["report"] == ("inventory",)
    found = needs({"inventory": {}, "budget": {"posts": "inventory"}}, tmp_path)
    assert found["report"] == ("budget", "inventory")
    with pytest.raises(Exception, match="no section whose results a page could show"):
        needs({}, tmp_path)


def test_every_step_that_a_page_needs_exists(made_run: Path):
    project = load_project(made_run.parent / "project.yaml")
    steps = {s.name: s for s in project.steps()}
    assert set(steps["report"].needs) <= set(steps)
    assert steps["report-fluxes"].units == ("upscaling+forest", "fields+weak", "fields+source")


def test_a_dataset_that_cannot_be_drawn_is_named_on_the_page():
    results = made_results()
    lost = Drawn(Dataset("fusion", WEST), None, "holds a list of cells")
    page = Page(render_project(replace(results, datasets=[lost])))
    assert f"fusion, {WEST}: holds a list of cells" in page.text
    assert "maps" in page.ids


def test_methane_is_named_as_carbon_of_methane():
    assert "g CH₄-C m⁻² yr⁻¹" in maps.YEAR["fch4"]
    assert estimates(replace(made_results(), variable="fch4", truth=None)) == []


# datasets made small


def test_pixels_show_the_cell_that_they_lie_in():
    grid = LatLonGrid(tuple(np.arange(45.0, 91.0, 2.5)), tuple(np.arange(-10.0, 351.0, 7.2)))
    lat, lon = np.meshgrid(grid.y, grid.x, indexing="ij")
    found = {
        name: on_canvas(xr.DataArray(values, dims=grid.dims, coords=grid.coords()))
        for name, values in (("lat", lat), ("lon", lon))
    }
    pixels = canvas()
    true_lon, true_lat = pixels.lonlat()
    seen = np.isfinite(found["lat"])
    assert 0.3 < seen.mean() < 0.5  # land in the circle
    assert np.abs(found["lat"] - true_lat.values)[seen].max() <= 1.25 + 1e-6
    apart = (found["lon"] - true_lon.values + 180.0) % 360.0 - 180.0
    assert np.abs(apart)[seen].max() <= 3.6 + 1e-6


def test_fine_cells_are_averaged_not_picked():
    grid = EqualAreaGrid.epsg6931(5000.0, x=(-1e6, 1e6), y=(-3e6, -1e6))
    board = (np.indices(grid.shape).sum(axis=0) % 2).astype(float)
    found = on_canvas(
        xr.DataArray(board, dims=grid.dims, coords=grid.coords(), attrs={"grid_mapping": "crs"})
    )
    assert np.nanmax(np.abs(found - 0.5)) < 1e-9


def test_a_dataset_without_the_flux_says_so(made_run: Path, tmp_path: Path):
    of = Dataset("fields", "weak", path="weak.nc", file="weak.nc")
    shown = Wanted(
        (), (of,), "fch4", ("sectors",), None, None, {"weak.nc": made_run.parent / "weak.nc"}, 0.5, None
    )
    write_fluxes(Job(of.unit, tmp_path / "out.nc", {}), shown)
    drawn = read_drawn(tmp_path / "out.nc")
    assert drawn.data is None
    assert "weak.nc: expected 'fch4'; found nee" in drawn.note
    assert str(tmp_path) not in drawn.note


class Known(dict):
    """Settings of a section; what the page asks for must be among them."""

    def get(self, key, default=None):
        return self[key]

    @classmethod
    def of(cls, value):
        return cls({k: cls.of(v) for k, v in value.items()}) if isinstance(value, dict) else value


def test_methods_are_told_of_settings_that_sections_have(tmp_path):
    """The demo's own settings: a section that renames one would leave a hole in a sentence."""
    project = load_project(write_project(tmp_path))
    answer = {n: Known.of(s.model_dump(mode="json")) for n, s in project.sections.items()}
    made = replace(made_results(), answer=answer)
    words = {part["name"]: part["words"] for part in methods(made)}
    assert words["Model-data fusion"] == (
        "DALEC fitted to lai, biomass, nee, gpp, soc, pixel by pixel, by smc with 4 chains; pixels that have not "
        "converged are taken with a flag."
    )
    assert "nee, gpp, reco" in words["Upscaling"]
    assert "CO2, CH4" in words["Inventory"]
    assert not any(hole in text for text in words.values() for hole in (" ,", "()", "None", "  "))
