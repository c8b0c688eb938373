"""Densities of classes: seasons by hand, bootstraps against formulas, tables and flux datasets as users write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from talik.errors import ConfigError, CoverageError, InputError, TalikError, UnitsError
from talik.flux import make_flux_dataset
from talik.inventory.class_sites import (
    Density,
    of_annual,
    of_growing_season,
    of_months,
    of_whole_years,
    sampling_bias,
    site_places,
)
from talik.inventory.classes import COVER, LAND, inventory_class
from talik.inventory.density_fluxes import of_fluxes
from talik.inventory.density_table import printed_growing_season, published_densities, read_densities
from talik.inventory.land_cover import suspect_gas_mass
from talik.inventory.limits import Limited, draws_of, of_draws
from talik.inventory.season import (
    CH4_SEASONS,
    ClassSeason,
    year_of_growing_season,
    year_of_two_seasons,
)
from talik.posts.distributions import fit

DRAWS = 4000


def test_nineteen_classes_become_five_and_water() -> None:
    assert len(COVER) == 19
    made = {inventory_class(code) for code in COVER}
    assert made == {*LAND, "inland_waters", None}
    assert [code for code in COVER if inventory_class(code) is None] == ["GLA", "ROC"]
    assert inventory_class("ROC", "dry_tundra") == "dry_tundra"
    with pytest.raises(ConfigError, match="WET is the sum of PEB, WTU, MAR, BOG, FEN"):
        inventory_class("WET")


def test_a_year_is_made_of_its_seasons() -> None:
    season = ClassSeason(days=100, outside=0.2)
    # 100 days of 2 are four fifths of the year's 250
    np.testing.assert_allclose(year_of_growing_season([2.0, -2.0, 0.0], season), [250.0, -200.0, 0.0])
    np.testing.assert_allclose(year_of_two_seasons(2.0, 50.0 / 265.25, 100.0), 250.0)


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-100, 100),
    st.floats(0.1, 50),
    st.floats(0.36, 0.64),
)
def test_draws_have_the_mean_and_the_limits(low: float, width: float, share: float) -> None:
    number = Limited(low + share * width, low, low + width)
    found = of_draws(draws_of(number, 20_000, 1, "x"))
    np.testing.assert_allclose(found, number, atol=0.004 * width)


def test_limits_hold_the_mean_that_is_given_and_refuse_what_is_not_finite() -> None:
    assert of_draws(np.linspace(1.0, 2.0, 101), 5.0) == (5.0, 1.025, 5.0)
    assert Limited(1.0, 0.0, 3.0).times(-2.0) == (-2.0, -6.0, 0.0)
    with pytest.raises(InputError, match="1 of 2 draws are not finite"):
        of_draws(np.array([1.0, np.nan]))


def sites(values: dict[str, list[float]], cover: str = "BOG") -> pd.DataFrame:
    rows = [(site, cover, flux) for site, held in values.items() for flux in held]
    return pd.DataFrame(rows, columns=["site", "cover", "flux"])


def test_sites_are_drawn_not_rows() -> None:
    rng = np.random.default_rng(2)
    effects = rng.normal(1.0, 0.3, 40)
    rows = sites({f"s{i:02d}": [v] * 25 for i, v in enumerate(effects)})
    found = of_growing_season(rows, "permafrost_bog", "CH4", ClassSeason(days=100), DRAWS, 3)
    # rows of a site repeat each other: the error is that of 40 sites, not of 1,000 rows
    np.testing.assert_allclose(found.draws.std(), 100 * effects.std() / np.sqrt(40), rtol=0.05)
    half = norm.ppf(0.975) * 100 * effects.std() / np.sqrt(40)
    np.testing.assert_allclose(found.value, 100 * effects.mean() + np.array([0.0, -half, half]), rtol=0.03)
    assert (found.sites, found.values) == (40, 1000)


def test_a_row_counts_once_and_its_site_brings_all_of_them() -> None:
    found = of_growing_season(
        sites({"a": [1.0, 1.0, 1.0], "b": [5.0]}), "permafrost_bog", "CH4", ClassSeason(days=1), DRAWS, 0
    )
    assert found.value.mean == 2.0
    # a and b, a twice or b twice: (3 + 5)/4, 1, 5
    assert set(np.round(found.draws, 12)) == {1.0, 2.0, 5.0}
    assert (found.value.low, found.value.high) == (1.0, 5.0)


def test_classes_weighted_by_area_are_means_of_their_means() -> None:
    rows = pd.concat([sites({"m": [10.0]}, "MAR"), sites({"b": [1.0], "c": [3.0]}, "BOG")])
    shares = {"MAR": 1.0, "BOG": 3.0, "FEN": 0.0}
    found = of_growing_season(
        rows, "permafrost_free_wetland", "CH4", ClassSeason(days=1), DRAWS, 0, shares=shares
    )
    np.testing.assert_allclose(found.value.mean, (10.0 + 3.0 * 2.0) / 4.0)
    with pytest.raises(InputError, match="no measurements in FEN, which has area"):
        of_growing_season(
            rows,
            "permafrost_free_wetland",
            "CH4",
            ClassSeason(days=1),
            DRAWS,
            0,
            shares={**shares, "FEN": 1.0},
        )


def months(values: dict[str, list[float | None]]) -> pd.DataFrame:
    rows = [
        (site, month + 1, flux)
        for site, held in values.items()
        for month, flux in enumerate(held)
        if flux is not None
    ]
    return pd.DataFrame(rows, columns=["site_id", "month", "flux"])


def test_a_year_is_the_sum_of_monthly_means_over_sites() -> None:
    summer: list[float | None] = [None] * 5 + [-30.0, -40.0, -20.0] + [None] * 4
    rows = months({"a": [float(m) for m in range(12)], "b": [2.0] * 12, "c": summer})
    found = of_months(pd.concat([rows, rows[rows["site_id"] == "a"]]), "dry_tundra", "CO2", DRAWS, 0)
    by_hand = sum((m + 2.0) / 2.0 for m in (0, 1, 2, 3, 4, 8, 9, 10, 11))
    by_hand += (5 + 2 - 30) / 3 + (6 + 2 - 40) / 3 + (7 + 2 - 20) / 3
    np.testing.assert_allclose(found.value.mean, by_hand)
    assert found.sites == 3
    # three draws of the same summer site have no winter: 1 of 27
    assert any("without some month were drawn again" in note for note in found.notes)
    assert "2 hold all twelve, whose mean year is 45 g m-2" in found.notes[0]


def test_the_bootstrap_of_months_has_the_error_of_the_mean_over_sites() -> None:
    rng = np.random.default_rng(5)
    effects = rng.normal(0.0, 10.0, 50)
    rows = months({f"s{i}": list(np.full(12, v)) for i, v in enumerate(effects)})
    found = of_months(rows, "boreal_forest", "CO2", DRAWS, 1)
    np.testing.assert_allclose(found.draws.std(), 12 * effects.std() / np.sqrt(50), rtol=0.05)


def test_whole_years_are_those_of_sites_with_all_months() -> None:
    summer: list[float | None] = [None] * 5 + [-30.0, -40.0, -20.0] + [None] * 4
    rows = months({"a": [1.0] * 12, "b": [2.0] * 12, "c": summer})
    found = of_whole_years(rows, "dry_tundra", "CO2", DRAWS, 0)
    assert (found.value.mean, found.sites) == (18.0, 2)
    assert set(np.round(found.draws, 9)) == {12.0, 18.0, 24.0}
    with pytest.raises(InputError, match="no site holds all twelve months"):
        of_whole_years(months({"c": summer}), "dry_tundra", "CO2", DRAWS, 0)


def test_annual_fluxes_are_means_over_rows_drawn_by_site() -> None:
    rows = pd.DataFrame({"site": ["a", "a", "b"], "flux": [1.0, 3.0, 8.0]})
    found = of_annual(rows, "permafrost_bog", "CH4", DRAWS, 0)
    assert (found.value.mean, found.sites, found.values) == (4.0, 2, 3)
    assert set(np.round(found.draws, 9)) == {2.0, 4.0, 8.0}


def test_places_of_sites_are_told_by_class() -> None:
    rows = pd.DataFrame(
        {
            "site_id": ["a", "a", "b", "c"],
            "land": ["dry_tundra"] * 3 + ["boreal_forest"],
            "lat": [70.0, 70.0, 60.0, 56.0],
            "frozen": [1.0, 1.0, 0.0, 0.0],
        }
    )
    boreal, tundra = site_places(rows)
    assert (boreal["land"], boreal["sites"], boreal["permafrost_share"]) == ("boreal_forest", 1, 0.0)
    assert tundra == {
        "land": "dry_tundra",
        "sites": 2,
        "mean_latitude": 65.0,
        "southernmost": 60.0,
        "permafrost_share": 0.5,
    }


def test_a_class_without_some_month_is_no_year() -> None:
    with pytest.raises(InputError, match=r"no site has month 1, 2; a year needs all twelve"):
        of_months(months({"a": [None, None, *[1.0] * 10]}), "dry_tundra", "CO2", DRAWS, 0)
    with pytest.raises(InputError, match="CO2 of dry_tundra: no measurements"):
        of_months(months({}), "dry_tundra", "CO2", DRAWS, 0)


def test_sites_in_warm_places_are_seen() -> None:
    rows = pd.DataFrame({"site": ["a", "a", "b"], "land": ["dry_tundra"] * 3, "tair": [-4.0, -4.0, -2.0]})
    cells, area = np.array([-12.0, -4.0, -3.0, -2.0]), np.array([[4.0, 1.0, 2.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    found = sampling_bias(rows, cells, area, ["dry_tundra", "boreal_forest"])
    assert found == [
        {
            "land": "dry_tundra",
            "sites": 2,
            "sites_degC": -3.0,
            "area_degC": -7.5,
            "difference_K": 4.5,
            "area_within_sites": 0.5,
        }
    ]


def test_published_densities_are_totals_over_areas() -> None:
    found = published_densities("CH4", DRAWS, 0)
    assert set(found) == set(LAND)
    np.testing.assert_allclose(found["permafrost_bog"].value, np.array([0.7, 0.29, 1.1]) / 0.86)
    np.testing.assert_allclose(found["boreal_forest"].value.mean, -0.12, atol=0.003)


def test_printed_growing_seasons_give_the_published_uplands() -> None:
    found = printed_growing_season("CH4", CH4_SEASONS, DRAWS, 0)
    np.testing.assert_allclose(found["dry_tundra"].value.mean, 0.43, atol=0.005)
    np.testing.assert_allclose(found["boreal_forest"].value.mean, -0.12, atol=0.005)
    assert printed_growing_season("N2O", CH4_SEASONS, DRAWS, 0) == {}


HEADER = "class,gas,season,mean,low,high,units,source\n"


def test_a_table_in_mass_of_the_gas_and_of_carbon_says_the_same(tmp_path: Path) -> None:
    gas, carbon = tmp_path / "gas.csv", tmp_path / "carbon.csv"
    ratio = 12.011 / 16.043
    gas.write_text(HEADER + "dry_tundra,CH4,year,2,1,3,g CH4 m-2 yr-1,me\n")
    numbers = ",".join(str(v * ratio * 1000) for v in (2, 1, 3))
    carbon.write_text(HEADER + f"dry_tundra,CH4,year,{numbers},mg CH4-C m-2 yr-1,me\n")
    a, b = (read_densities(path, "CH4", CH4_SEASONS, DRAWS, 0) for path in (gas, carbon))
    np.testing.assert_allclose(a["dry_tundra"].value, b["dry_tundra"].value)
    np.testing.assert_allclose(a["dry_tundra"].value.mean, 2 * ratio)
    daily = tmp_path / "daily.csv"
    daily.write_text(HEADER + "permafrost_bog,CH4,growing,7.8,3.9,11.7,mg CH4 m-2 d-1,me\n")
    found = read_densities(daily, "CH4", CH4_SEASONS, DRAWS, 0)["permafrost_bog"]
    np.testing.assert_allclose(found.value.mean, 7.8e-3 * ratio * 90 / 0.65)


def test_a_year_of_a_growing_and_a_cold_season(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    growing = "dry_tundra,CO2,growing,-1,-1.2,-0.8,g CO2-C m-2 d-1,me\n"
    rows = growing + "dry_tundra,CO2,cold,0.2,0.1,0.3,g CO2-C m-2 d-1,me\n"
    path.write_text(HEADER + rows)
    season = {"dry_tundra": ClassSeason(days=100)}
    found = read_densities(path, "CO2", season, 20_000, 0)["dry_tundra"]
    np.testing.assert_allclose(found.value.mean, -100 + 0.2 * 265.25)
    half = np.hypot(0.2 * 100, 0.1 * 265.25)  # independent normals
    np.testing.assert_allclose(found.value.high - found.value.mean, half, rtol=0.03)
    path.write_text(HEADER + rows.split("\n")[1] + "\n")
    with pytest.raises(
        InputError, match="dry_tundra has CO2 of cold; expected year, growing, or growing and cold"
    ):
        read_densities(path, "CO2", season, DRAWS, 0)
    path.write_text(HEADER + rows)
    with pytest.raises(ConfigError, match="no growing season is given for dry_tundra"):
        read_densities(path, "CO2", {}, DRAWS, 0)


@pytest.mark.parametrize(
    ("row", "error", "match"),
    [
        (
            "taiga,CH4,year,1,0,2,g CH4-C m-2 yr-1,me",
            ConfigError,
            "line 2: land-cover class 'taiga' is unknown",
        ),
        ("dry_tundra,CH4,,1,0,2,g CH4-C m-2 yr-1,me", InputError, "season of dry_tundra is missing"),
        ("dry_tundra,CH4,summer,1,0,2,g CH4-C m-2 d-1,me", InputError, "season of dry_tundra is summer"),
        ("dry_tundra,CH4,year,1,0,2,g m-2 yr-1,me", UnitsError, "What is weighed is never guessed"),
        ("dry_tundra,CH4,year,1,0,2,g CO2-C m-2 yr-1,me", UnitsError, "weigh CO2-C; expected CH4 or CH4-C"),
        ("dry_tundra,CH4,year,1,0,2,g CH4-C m-2 d-1,me", UnitsError, "with season year; expected d-1 for"),
        ("dry_tundra,CH4,year,3,0,2,g CH4-C m-2 yr-1,me", InputError, "expected a mean between its limits"),
        ("dry_tundra,CH4,year,1,9,0,g CH4-C m-2 yr-1,me", InputError, "low is the 2.5 % limit"),
        ("dry_tundra,CO2,year,1,0,2,g CO2-C m-2 yr-1,me", InputError, "has no row of CH4"),
        ("dry_tundra,CH4,year,nan,0,2,g CH4-C m-2 yr-1,me", InputError, "CH4 of dry_tundra is nan"),
        ("dry_tundra,CH4,year,1e9,0,2e9,g CH4-C m-2 yr-1,me", InputError, "no class is above 1000"),
        ("dry_tundra,NOx,year,1,0,2,g CH4-C m-2 yr-1,me", InputError, "gas is NOx"),
        ('dry_tundra,CH4,year,1,0,"2,5",g CH4-C m-2 yr-1,me', TalikError, "Write decimals with a point"),
        (
            "dry_tundra,CH4,year,1,0,2,g CH4-C m-2 yr-1,me\ndry_tundra,CH4,year,1,0,2,g CH4-C m-2 yr-1,me",
            InputError,
            "line 3: dry_tundra stands twice for CH4 and season year",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused(
    tmp_path: Path, row: str, error: type[Exception], match: str
) -> None:
    path = tmp_path / "d.csv"
    path.write_text(HEADER + row + "\n")
    with pytest.raises(error, match=match):
        read_densities(path, "CH4", CH4_SEASONS, DRAWS, 0)
    path.write_text("class,gas,mean\n")
    with pytest.raises(InputError, match="no column season, low, high, units, source"):
        read_densities(path, "CH4", CH4_SEASONS, DRAWS, 0)


def given_densities(factor: float, gas: str = "CH4") -> dict[str, Density]:
    return {
        name: Density(name, gas, d.value.times(factor), d.draws * factor, "mine")
        for name, d in published_densities(gas, DRAWS, 0).items()
    }


def test_site_means_of_the_gas_that_are_called_element_mass_are_seen(tmp_path: Path) -> None:
    """The growing-season means of BAWLD-CH4, mg CH4, under a unit of CH4-C."""
    means = {
        "permafrost_free_wetland": 79.3,
        "tundra_wetland": 81.5,
        "permafrost_bog": 7.8,
        "dry_tundra": 3.8,
        "boreal_forest": -1.1,
    }
    reference = published_densities("CH4", DRAWS, 0)
    path = tmp_path / "d.csv"
    for units, wrong in (("mg CH4-C m-2 d-1", True), ("mg CH4 m-2 d-1", False)):
        rows = [f"{name},CH4,growing,{v},{v - 1},{v + 1},{units},me" for name, v in means.items()]
        path.write_text(HEADER + "\n".join(rows) + "\n")
        told = suspect_gas_mass(read_densities(path, "CH4", CH4_SEASONS, DRAWS, 0), reference)
        assert (told is not None) == wrong
    assert told is None
    assert suspect_gas_mass(given_densities(1.5), reference) is None
    two = dict(list(given_densities(16.043 / 12.011).items())[:2])
    assert suspect_gas_mass(two, reference) is None


def fluxes(codes: list[str], values: np.ndarray, months: int = 12) -> xr.Dataset:
    """fch4 of places (member, place), the same in every month, g C m-2 yr-1 of a year of 365.25 days."""
    rate = values / (365.25 * 86_400e3)
    time = pd.date_range("2001-01-01", periods=months, freq="MS") + pd.Timedelta(days=14)
    data = xr.DataArray(
        np.repeat(rate[:, None], months, axis=1),
        dims=("member", "time", "cell"),
        coords={"time": time},
        attrs={"units": "kg m-2 s-1"},
    )
    ds = make_flux_dataset({"fch4": data}, approach="upscaling", source="a model", coverage=1.0)
    area = np.arange(1.0, len(codes) + 1)
    return ds.assign_coords(land_cover=("cell", codes), cell_area=("cell", area, {"units": "m2"}))


def test_a_flux_dataset_becomes_means_over_area_and_limits_of_its_members() -> None:
    codes = ["BOG", "FEN", "TUN", "GLA", "tundra_wetland"]
    values = np.array([[10.0, 20.0, 1.0, 0.0, 5.0]]) * np.linspace(0.5, 1.5, 41)[:, None]
    found = of_fluxes(fluxes(codes, values), "CH4", DRAWS, 0)
    assert list(found) == ["dry_tundra", "permafrost_free_wetland", "tundra_wetland"]
    middle = (10.0 * 1.0 + 20.0 * 2.0) / 3.0
    # 2.5 % of 41 even steps from half to one and a half is the second
    np.testing.assert_allclose(
        found["permafrost_free_wetland"].value, middle * np.array([1.0, 0.525, 1.475]), rtol=1e-9
    )
    np.testing.assert_allclose(found["tundra_wetland"].value.mean, 5.0)
    assert found["dry_tundra"].source == "a model"


def test_one_member_has_no_limits_and_says_so() -> None:
    found = of_fluxes(fluxes(["TUN"], np.array([[3.0]])), "CH4", DRAWS, 0)["dry_tundra"]
    np.testing.assert_allclose(found.value, 3.0)
    assert "has no limits" in found.notes[0]


def test_a_flux_dataset_that_cannot_be_is_refused() -> None:
    good = fluxes(["TUN", "BOR"], np.array([[3.0, 4.0]]))
    with pytest.raises(InputError, match="no variable nee for CO2"):
        of_fluxes(good, "CO2", DRAWS, 0)
    with pytest.raises(InputError, match="with land_cover and cell_area"):
        of_fluxes(good.drop_vars("land_cover"), "CH4", DRAWS, 0)
    with pytest.raises(InputError, match="land_cover 'WET' is unknown"):
        of_fluxes(good.assign_coords(land_cover=("cell", ["TUN", "WET"])), "CH4", DRAWS, 0)
    with pytest.raises(
        CoverageError, match=r"11 steps from 2001-01-01.* to 2001-12-01.*; expected whole years"
    ):
        of_fluxes(fluxes(["TUN"], np.array([[3.0]]), months=11), "CH4", DRAWS, 0)
    holed = good.assign(fch4=good["fch4"].where(xr.DataArray([True, False], dims="cell")))
    with pytest.raises(CoverageError, match="fch4 is missing at 1 of 2 places"):
        of_fluxes(holed, "CH4", DRAWS, 0)


def test_the_fit_of_a_published_post_is_the_one_that_budgets_draw_from() -> None:
    value = published_densities("CO2", DRAWS, 0)["dry_tundra"].value
    expected = fit(*value).from_normal(np.array([norm.ppf(0.2)]))
    found = np.quantile(published_densities("CO2", 20_000, 0)["dry_tundra"].draws, 0.2)
    np.testing.assert_allclose(found, expected[0], rtol=1e-3)
