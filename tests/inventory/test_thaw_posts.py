"""Limits, what they come from, posts, radiative forcing and the dataset of abrupt thaw."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import spearmanr

from talik.budget.files import parse_csv
from talik.errors import PostError
from talik.inventory.thaw.forcing import ForcingSettings, left_in_air, radiative_forcing
from talik.inventory.thaw.output import dataset, to_dict
from talik.inventory.thaw.posts import posts, standing_alone, write_posts
from talik.inventory.thaw.read import published
from talik.inventory.thaw.result import Settings, factors_of, run, total
from talik.inventory.thaw.simulate import KINDS

RECENT = (2000, 2020)
TABLE = published()
RUN = run(TABLE, Settings(draws=400, to=2100))


def test_one_draw_by_hand() -> None:
    """Draw 7 of the mineral lowlands, run again with a table whose numbers are multiplied."""
    terrain = TABLE.terrains["mineral_lowlands"]
    factors = factors_of(terrain.leading, "mineral_lowlands", 400, 0)
    text = terrain.model_dump(by_alias=True)
    for part in text["parts"].values():
        for (vary, of), values in factors.items():
            factor = float(values[7])
            if vary == "area":
                part["states"][of]["area_km2"] *= factor
            elif vary in ("rate", "growth"):
                for phase in part["rates"][of].values():
                    phase[vary] *= factor
            else:
                for by_state in part["fluxes"].values():
                    by_state[of][vary] *= factor
    changed = TABLE.model_copy(update={"terrains": {"x": type(terrain).model_validate(text)}})
    by_hand = run(changed, Settings(draws=100, to=2100)).terrains["x"].courses
    for kind in KINDS:
        for span in RUN.spans:
            drawn = total(RUN.terrains["mineral_lowlands"].draws, kind, span, "terrain")
            assert drawn[7] == pytest.approx(total(by_hand, kind, span, "terrain")[0], rel=1e-12)


def test_factors_fill_their_range_evenly_and_apart() -> None:
    factors = factors_of(TABLE.terrains["hillslopes"].leading, "hillslopes", 2000, 0)
    assert len(factors) == 6
    for values in factors.values():
        np.testing.assert_allclose(np.sort(values), 0.6 + 0.8 * (np.arange(2000) + 0.5) / 2000, rtol=1e-12)
    rows = np.array(list(factors.values()))
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 0.08


def test_limits_are_quantiles_and_influence_is_spearman() -> None:
    found = RUN.terrains["organic_lowlands"]
    drawn = total(found.draws, "ch4", RECENT, "terrain")
    limits = found.means["ch4", RECENT]
    np.testing.assert_allclose([limits.low, limits.high], np.quantile(drawn, [0.025, 0.975]), rtol=1e-12)
    leading = TABLE.terrains["organic_lowlands"].leading
    factors = factors_of(leading, "organic_lowlands", 400, 0)
    for name, share in found.influence["ch4", RECENT].items():
        vary, of = name.split()
        assert share == pytest.approx(spearmanr(factors[vary, of], drawn).statistic ** 2, abs=1e-12)  # type: ignore[index]
    assert next(iter(found.influence["ch4", RECENT])) == "area permafrost_peatland"
    assert sum(found.influence["ch4", RECENT].values()) == pytest.approx(1.0, abs=0.15)


def test_same_seed_same_numbers() -> None:
    again = run(TABLE, Settings(draws=400, to=2100))
    assert to_dict(again) == to_dict(RUN)
    other = run(TABLE, Settings(draws=400, to=2100, seed=1))
    assert other.totals["co2", RECENT].mean == RUN.totals["co2", RECENT].mean
    assert other.totals["co2", RECENT].low != RUN.totals["co2", RECENT].low
    alone = run(
        TABLE.model_copy(update={"terrains": {"hillslopes": TABLE.terrains["hillslopes"]}}), RUN.settings
    )
    assert alone.terrains["hillslopes"].means == RUN.terrains["hillslopes"].means


def test_posts() -> None:
    found = {(p.id, p.gas): p for p in posts(RUN)}
    ids = (
        "inventory.abrupt_thaw_hillslopes",
        "inventory.abrupt_thaw_lakes",
        "inventory.abrupt_thaw_wetlands",
    )
    assert set(found) == {(name, gas) for name in ids for gas in ("CO2", "CH4")}
    wetlands = found["inventory.abrupt_thaw_wetlands", "CO2"]
    assert wetlands.mean == pytest.approx(19.31, abs=0.005)
    assert (wetlands.unit, wetlands.part_of, wetlands.period) == (
        "Tg CO2-C yr-1",
        "inventory.wetlands",
        "2000-2020",
    )
    assert wetlands.covers == {"abrupt_thaw"}
    assert wetlands.area_mkm2 == pytest.approx(1.4153)
    assert (wetlands.low, wetlands.high) == RUN.terrains["organic_lowlands"].means["co2", RECENT][1:]
    lakes = found["inventory.abrupt_thaw_lakes", "CH4"]
    courses = RUN.terrains["mineral_lowlands"].courses.values()
    by_hand = sum(
        1e-6 * (young * c.held[100:120, 1, 0].sum() + old * c.held[100:120, 2, 0].sum()) / 20
        for c, (young, old) in zip(courses, ((130, 10), (38, 7)), strict=True)
    )
    assert lakes.mean == pytest.approx(by_hand, rel=1e-12)
    assert (lakes.part_of, lakes.origin) == ("inventory.inland_waters", "non-fossil")
    assert "States counted: young lake, old lake" in lakes.note
    hillslopes = found["inventory.abrupt_thaw_hillslopes", "CO2"]
    assert hillslopes.part_of is None
    assert "not added" in hillslopes.note


def test_posts_of_features_and_other_spans() -> None:
    features = run(TABLE, Settings(draws=100, to=2100, scope="features"))
    wetlands = {(p.id, p.gas): p for p in posts(features)}["inventory.abrupt_thaw_wetlands", "CO2"]
    assert wetlands.mean == pytest.approx(31.8, abs=0.05)
    assert wetlands.area_mkm2 is not None
    assert wetlands.area_mkm2 < 0.85
    assert "permafrost peatland" not in wetlands.note
    century = posts(RUN, (2000, 2100))[0]
    assert century.period == "2000-2100"
    with pytest.raises(
        PostError, match=r"no limits for 1990-2010; this run has them for 2000-2020, 2000-2100"
    ):
        posts(RUN, (1990, 2010))


def test_posts_file_reads_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = write_posts(posts(RUN), tmp_path / "posts.csv")
    back = parse_csv(path.read_text(), str(path)).posts
    assert back == standing_alone(posts(RUN))
    assert {p.part_of for p in back} == {None}
    assert back[-1].note.startswith("Part of inventory.wetlands: ")


def test_air_against_a_solver_of_scipy() -> None:
    """dM/dt = share * E - M / years in each pool, E constant within a year."""
    emission, s = np.array([3.0, 0.0, -2.0, 5.0]), ForcingSettings()
    found = left_in_air(emission, s.co2_shares, s.co2_years)
    shares, years = np.array(s.co2_shares), np.array(s.co2_years)
    pools, expected = np.zeros(5), []
    for rate in emission:
        solved = solve_ivp(
            lambda _t, m, e=rate: shares * e - m / years, (0, 1), pools, rtol=1e-11, atol=1e-13
        )
        pools = solved.y[:, -1]
        expected.append(pools.sum())
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert sum(s.co2_shares) == pytest.approx(1.001)


def test_forcing_of_steady_methane() -> None:
    """CH4 in the air tends to emission times 12 years; forcing counts mass of CH4, not of carbon."""
    steady = left_in_air(np.ones(200), (1.0,), (12.0,))
    assert steady[-1] == pytest.approx(12.0, rel=1e-6)
    found = radiative_forcing(RUN)
    courses = RUN.terrains["organic_lowlands"].courses.values()
    first = sum(c.carbon["ch4"][100, :, 0].sum() for c in courses)
    left = first * 1e9 * 16.043 / 12.011 * 12 * -np.expm1(-1 / 12)
    assert found["ch4"][2, 0] == pytest.approx(1.3e-13 * 1.3 * left, rel=1e-12)
    assert found["co2"].shape == (3, 100)


def test_dataset() -> None:
    ds = dataset(RUN, forcing=True)
    assert ds["area"].sizes == {"compartment": 21, "date": 201}
    assert ds["co2"].sizes == {"compartment": 21, "time": 200}
    for kind in KINDS:
        assert {k: ds[kind].attrs[k] for k in ("units", "species", "positive")} == {
            "units": "Tg yr-1",
            "species": "C",
            "positive": "up",
        }
    organic = ds.where(ds["terrain"] == "organic_lowlands", drop=True)["ch4"]
    assert organic[:, 100:120].sum("compartment").mean().item() == pytest.approx(19.05, abs=0.005)
    assert ds["forcing_ch4"].sizes == {"forcing_terrain": 3, "time": 200}
    assert np.isnan(ds["forcing_ch4"][:, :100]).all()
    assert (ds["forcing_ch4"][:, 100:] > 0).all()
