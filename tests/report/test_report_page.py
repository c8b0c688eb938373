"""The page is one file, loads nothing, escapes everything, and says what the budget says."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from talik.budget import BudgetSettings, compute
from talik.budget.result import from_dict, provenance, to_dict
from talik.errors import InputError
from talik.report.numbers import typeset
from talik.report.page import FIGURE_FILES, render, write_report
from talik.report.sources import page_from_file, source_kind

MADE_BY = {"code": "0.1.0", "config": "k", "inputs": {"x.csv": {"sha256": "ab", "bytes": 3}}}
VOID = {"meta", "link", "br", "img", "source", "hr", "input"}


class Page(HTMLParser):
    """Tags, links and text of a page; open tags must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.images: list[dict] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        if tag == "a":
            self.links.append(values["href"])
        else:
            self.loads += [values[k] for k in ("src", "href", "srcset", "data") if values.get(k)]
        if tag == "img":
            self.images.append(values)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(published) -> Page:
    return Page(render(published, MADE_BY))


def test_nothing_is_loaded_and_nothing_runs(page):
    assert page.loads
    assert all(load.startswith("data:") for load in page.loads)
    assert "script" not in page.tags
    assert page.open == []
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(set(page.ids)) == len(page.ids)


def test_numbers_on_the_page_are_those_of_the_budget(page, published):
    for shown in ("−29 (−708, 455)", "−587 (−862, −312)", "39 (23, 53)", "0.67 (0.07, 1.29)"):
        assert shown in page.text
    assert f"{published.audit.checked} printed numbers were recomputed" in page.text
    assert f"{len(published.audit.findings)} do not follow" in page.text


def test_every_derived_number_can_be_opened_to_its_inputs(page, published):
    for post in published.evaluation.derived:
        assert f"post-{post.id}-{post.gas}" in page.ids
        assert post.id in page.text
    for source in {p.source for p in published.evaluation.inputs}:
        assert source in page.text


def test_accepted_mismatches_missing_processes_and_sources_are_printed(page):
    assert "Accepted: the period of process.nee_fire differs (model runs span 1980" in page.text
    assert "Bottom-up lacks" in page.text
    assert "geological seeps" in page.text
    assert "IPCC AR6 WG1, Forster et al. 2021, Table 7.15" in page.text
    assert "sha256 ab" in page.text


def test_every_picture_has_words(page):
    assert len(page.images) >= 6
    assert all(len(image["alt"]) > 40 for image in page.images)


def test_hostile_text_stays_text(hostile, hostile_text):
    text = render(
        hostile,
        {**MADE_BY, "inputs": {hostile_text: {"sha256": hostile_text, "bytes": 1}}},
        title=hostile_text,
    )
    page = Page(text)
    assert "script" not in page.tags
    assert hostile_text in page.text
    assert hostile_text.replace("{{ 7*7 }}", "49") not in page.text
    assert all(load.startswith("data:") for load in page.loads)
    assert page.open == []


def test_the_same_budget_gives_the_same_bytes(published):
    assert render(published, MADE_BY) == render(published, MADE_BY)


def test_page_and_figures_are_written(published, tmp_path):
    written = write_report(published, tmp_path / "r.html", provenance=MADE_BY, figures=tmp_path / "figures")
    assert [p.name for p in written] == ["r.html", *FIGURE_FILES]
    assert written[0].stat().st_size < 2_000_000
    for path in written[1:]:
        head = path.read_bytes()[:8]
        assert head.startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")


def test_a_result_gives_the_same_page_as_the_budget_itself(tmp_path):
    settings = BudgetSettings(combine="correlated", ch4_gwp=29.8, draws=20_000)
    budget = compute("reccap2", settings)
    data = json.loads(json.dumps(to_dict(budget, provenance("reccap2", settings)), allow_nan=False))
    again = from_dict(data, "budget.json")
    assert render(again, MADE_BY) == render(budget, MADE_BY)
    path = tmp_path / "budget.json"
    path.write_text(json.dumps(data))
    page_from_file(path, tmp_path / "page.html")
    assert "29.8" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "page-figures" / "gwp_stack.svg").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "not a talik budget result"),
        ('{"format": "talik-budget-1", "posts": [{}]}', "damaged or edited"),
    ],
)
def test_broken_results_are_said(tmp_path, text, message):
    path = tmp_path / "budget.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        page_from_file(path, tmp_path / "page.html")


def test_a_tampered_result_is_refused(published, tmp_path):
    data = to_dict(published, MADE_BY)
    data["posts"][0]["unit"] = "Gt CO2-C yr-1"
    path = tmp_path / "budget.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"damaged or edited budget result .*Gt CO2-C yr-1"):
        page_from_file(path, tmp_path / "page.html")


def test_files_are_told_apart(tmp_path):
    for name, text, kind in (
        ("p.yaml", "talik: 1\n", "project"),
        ("q.yml", "posts: []\n", "posts"),
        ("r.csv", "id\n", "posts"),
        ("s.json", "{}", "result"),
    ):
        (tmp_path / name).write_text(text)
        assert source_kind(tmp_path / name) == kind


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("-763 (-1187, -339) Tg C yr-1, 5 below -491.", "−763 (−1187, −339) Tg C yr⁻¹, 5 below −491."),
        ("natural CO2 of 2001-2015, 1e-05", "natural CO₂ of 2001-2015, 1e-05"),
    ],
)
def test_a_plain_sentence_is_typeset(said, shown):
    assert typeset(said) == shown
