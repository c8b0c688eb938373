"""Tables of terrains: what is read, what is turned, and what every mistake says."""

# ruff: noqa: E501
from __future__ import annotations

from pathlib import Path

import pytest

from talik.errors import ConfigError, InputError
from talik.inventory.thaw.read import parse_table, published, published_text, read_table
from talik.inventory.thaw.result import Settings, run

SMALL = """
positive: up
first_year: 1950
scenario_year: 2000
scenarios: {warm: a warm one}
source: made up
terrains:
  bluffs:
    label: bluffs
    parts:
      all:
        states:
          firm: {area_km2: 1000, feature: false}
          slumped: {area_km2: 0, feature: true}
        rates:
          slump: {spin_up: {rate: 0.001}, warm: {rate: 0.002, growth: 1.0e-5}}
        transitions:
          - {from: firm, to: slumped, rate: slump}
        fluxes:
          spin_up: {firm: {nee: -10, ch4: 0, doc: 0}, slumped: {nee: 100, ch4: 2, doc: 0}}
          projection: {firm: {nee: -10, ch4: 0, doc: 0}, slumped: {nee: 100, ch4: 2, doc: 0}}
    leading:
      - {vary: rate, of: slump, range: 0.2}
"""


def broken(old: str, new: str) -> str:
    assert SMALL.count(old) >= 1
    return SMALL.replace(old, new, 1)


def test_fluxes_are_turned_to_upward() -> None:
    """The source has uptake positive: undisturbed hillslopes take up 10.5 and release 4 as CH4."""
    flux = published().terrains["hillslopes"].parts["hillslopes"].flux("undisturbed", "rcp85")
    assert (flux.nee, flux.ch4, flux.doc, flux.doc_to_co2) == (-10.5, 4.0, 2.0, 0.97)
    assert published().positive == "up"
    turned = parse_table(SMALL.replace("positive: up", "positive: down"), "mine.yaml")
    for table, sign in ((turned, -1), (parse_table(SMALL, "mine.yaml"), 1)):
        assert table.terrains["bluffs"].parts["all"].flux("slumped", "warm").nee == 100 * sign


def test_published_areas_in_1900() -> None:
    found = {
        key: sum(s.area_km2 for p in t.parts.values() for s in p.states.values())
        for key, t in published().terrains.items()
    }
    assert found == {"hillslopes": 910_000, "mineral_lowlands": 1_232_000, "organic_lowlands": 1_415_300}


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL)
    found = run(read_table(path), Settings(scenario="warm", to=2050, draws=100))
    course = found.terrains["bluffs"].courses["all"]
    assert course.years[0] == 1950
    assert course.area[-1].sum() == pytest.approx(1000)
    assert found.terrains["bluffs"].influence["co2", (2000, 2050)] == {"rate slump": pytest.approx(1.0)}


def test_extending_the_published_table(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    own = SMALL.replace("first_year: 1950", "first_year: 1900\nextends: published")
    path.write_text(
        own.replace("warm: a warm one", "rcp45: RCP4.5, rcp85: RCP8.5").replace("warm: {", "projection: {")
    )
    table = read_table(path)
    assert list(table.terrains) == ["hillslopes", "mineral_lowlands", "organic_lowlands", "bluffs"]
    assert table.terrains["bluffs"].parts["all"].flux("slumped", "rcp85").nee == 100
    assert table.terrains["hillslopes"] == published().terrains["hillslopes"]


def test_a_scenario_that_published_terrains_lack() -> None:
    own = SMALL.replace("first_year: 1950", "first_year: 1900\nextends: published")
    with pytest.raises(
        ConfigError, match=r"terrain hillslopes, part hillslopes, rate disturbance: nothing for scenario warm"
    ):
        parse_table(own, "mine.yaml")
    with pytest.raises(
        ConfigError, match=r"mine.yaml: first_year and scenario_year are 1950 and 2000; .* 1900 and 2000"
    ):
        parse_table(SMALL.replace("first_year: 1950", "first_year: 1950\nextends: published"), "mine.yaml")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("to: slumped, rate", "to: slump, rate", r"terrain bluffs, part all, transition 1 \(firm to slump\): state 'slump' is unknown; expected one of: firm, slumped"),
        ("rate: slump}", "rate: sink}", r"transition 1 \(firm to slumped\): rate 'sink' is unknown; expected one of: slump"),
        ("to: slumped, rate", "to: firm, rate", r"leads to where it starts"),
        ("area_km2: 1000", "area_km2: -1000", r"terrains.bluffs.parts.all.states.firm.area_km2: .*greater than or equal to 0; found -1000"),
        ("{rate: 0.001}", "{rate: -0.001}", r"rates.slump.spin_up.rate: .*greater than or equal to 0; found -0.001"),
        ("{rate: 0.001}", "{rate: 99}", r"rates.slump.spin_up.rate: .*less than or equal to 50; found 99"),
        (", slumped: {nee: 100, ch4: 2, doc: 0}}\n          proj", "}\n          proj", r"part all, state slumped: has no entry in fluxes of spin_up; expected nee, ch4 and doc"),
        ("ch4: 2, doc: 0", "ch4: 2", r"fluxes.spin_up.slumped.doc: Field required"),
        (", warm: {rate: 0.002, growth: 1.0e-5}", "", r"terrain bluffs, part all, rate slump: nothing for scenario warm; found spin_up, expected warm"),
        ("spin_up: {rate: 0.001}, ", "", r"rate slump: nothing for spin_up; found warm, expected spin_up"),
        ("warm: {rate", "wram: {rate", r"rate slump: phase 'wram' is unknown; expected one of: projection, spin_up, warm"),
        ("of: slump,", "of: firm,", r"terrain bluffs, leading rate firm 'firm' is unknown; expected one of: slump"),
        ("range: 0.2", "range: 40", r"leading.0.range: .*less than 1; found 40"),
        ("vary: rate", "vary: speed", r"leading.0.vary: .*found 'speed'"),
        ("positive: up", "positive: left", r"positive: .*found 'left'"),
        ("positive: up\n", "", r"positive: Field required"),
        ("doc: 0}, slumped", "doc: 5, doc_to_co2: 0.9, doc_to_ch4: 0.2}, slumped", r"state firm, fluxes of spin_up: doc_to_co2 and doc_to_ch4 sum to 1.1; expected at most 1"),
        ("firm: {nee: -10", "frim: {nee: -10", r"fluxes of spin_up: state 'frim' is unknown"),
        ("scenario_year: 2000", "scenario_year: 1940", r"scenario_year 1940: expected 1950 \(first_year\) or later"),
        ("{warm: a warm one}", "{}", r"scenarios: is empty"),
        ("nee: 100", "nee: .nan", r"nee: .*finite number"),
        ("nee: 100", "nee: much", r"nee: .*valid number; found 'much'"),
        ("label: bluffs", "label: bluffs\n    notes: {cold: x}", r"terrain bluffs, notes 'cold' is unknown; expected one of: warm"),
        ("label: bluffs", "label: bluffs\n    post: {id: a.b, note: x, states: [wet]}", r"terrain bluffs, post a.b, states 'wet' is unknown"),
    ],
)  # fmt: skip
def test_what_a_mistake_says(old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)mine.yaml: .*table of terrains.*{told}"):
        parse_table(broken(old, new), "mine.yaml")


def test_all_mistakes_are_told_at_once() -> None:
    text = broken("area_km2: 1000", "area_km2: -1").replace("{rate: 0.001}", "{rate: -1}")
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*area_km2.*slump"):
        parse_table(text, "mine.yaml")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing.yaml: no such file"):
        read_table(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match=r"the file: .*found \[1, 2\]"):
        parse_table("[1, 2]", "list.yaml")


def test_published_text_is_the_table() -> None:
    assert parse_table(published_text(), "copy.yaml") == published()


def test_the_example_of_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "abrupt-thaw.md").read_text(encoding="utf-8")
    example = guide.partition("```yaml\n")[2].partition("```")[0]
    table = parse_table(example, "guide.yaml")
    assert list(table.terrains)[-1] == "bluffs"
    assert table.terrains["bluffs"].leading[1].range == 0.6
