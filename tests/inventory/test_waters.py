"""Inland waters: kernels against check values, totals against a slow sum, limits, posts and bad data."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from talik.errors import ConfigError, CoverageError, InputError, UnitsError
from talik.flux.dataset import validate
from talik.inventory.classes import LAKES, RIVERS
from talik.inventory.limits import Limited
from talik.inventory.water_densities import (
    WaterSettings,
    ice_free_days,
    lake_diffusion,
    shore_share,
    with_ebullition,
)
from talik.inventory.waters import WATERS, _growth, water_flux, water_posts, waters
from talik.posts.distributions import fit
from talik.sources.bawld import read_bawld

QUICK = WaterSettings(draws=1000)
MILD = np.array([-20, -18, -12, -4, 4, 11, 15, 12, 6, -2, -10, -17.0])


def land_cover(
    fractions: dict[str, list[float]], tair: np.ndarray, *, spread: float | None = None, area: float = 1e9
) -> xr.Dataset:
    """A land-cover Dataset of as many cells as `tair` (cell, month) has, water classes not named being 0."""
    cells = tair.shape[0]
    fraction = np.array([fractions.get(code, [0.0] * cells) for code in WATERS])
    one = {"units": "1"}
    ds = xr.Dataset(
        {
            "fraction": (("cover", "cell"), fraction, one),
            "cell_area": ("cell", np.full(cells, area), {"units": "m2"}),
            "tair": (("cell", "month"), tair, {"units": "degC"}),
            "tair_annual": ("cell", tair.mean(axis=1), {"units": "degC"}),
        },
        {"cover": list(WATERS), "cell": np.arange(cells) + 100},
    )
    if spread is not None:
        ds["fraction_low"] = (("cover", "cell"), fraction * (1 - spread), one)
        ds["fraction_high"] = (("cover", "cell"), fraction * (1 + spread), one)
    return ds


def real_cells(shared: Path) -> xr.Dataset:
    """The 82 BAWLD cells with flux sites."""
    return read_bawld(shared / "data" / "bawld-ch4-wetlands" / "bawld_ch4_wetland_flux_and_cell_cover.csv.gz")


@pytest.mark.parametrize(
    ("code", "expected", "half_digit"),
    [
        ("LAL", 2.7, 0.05),
        ("MGL", 6.5, 0.05),
        ("SGL", 8.1, 0.05),
        ("MPL", 67.6, 0.05),
        ("SPL", 95.5, 0.05),
        ("MYL", 32.3, 0.05),
        ("SYL", 294, 0.5),
    ],
)
def test_published_densities_at_minus_five(code: str, expected: float, half_digit: float) -> None:
    s = WaterSettings()
    flux = lake_diffusion(-5.0, s.offset[code].mean, s.intercept.mean, s.slope.mean)
    if code not in s.shores:
        flux = flux * with_ebullition(s.ebullition[code])
    assert float(flux) == pytest.approx(expected, abs=half_digit)


def test_ebullition_share_is_that_of_the_total() -> None:
    assert float(with_ebullition(0.62)) == pytest.approx(2.63, abs=0.005)
    assert float(with_ebullition(0.80)) == pytest.approx(5)
    total = float(with_ebullition(0.62, 0.3))
    assert (total - 1) / 0.3 == pytest.approx(0.62 / 0.38)


def test_strip_of_a_circle_is_its_ring() -> None:
    radius = 1000.0
    ring = 1 - (1 - 3 / radius) ** 2
    assert float(shore_share(math.pi * radius**2, 1.0, 3.0)) == pytest.approx(ring, rel=2e-3)
    assert float(shore_share(1.0, 1.0, 3.0)) == 1.0


def test_default_lake_sizes_hold_equal_area_in_each_tenfold() -> None:
    # number of lakes of size a falls as a^-2: sum of shore lengths over sum of areas, by brute force
    for code, low, high in (("MGL", 1e5, 1e7), ("LAL", 1e7, 1e10)):
        size = np.geomspace(low, high, 20_001)
        number = size**-2.0 * np.gradient(size)
        share = 3 * 2 * 2 * np.sqrt(np.pi) * (number * np.sqrt(size)).sum() / (number * size).sum()
        assert float(shore_share(*WaterSettings().shores[code], 3.0)) == pytest.approx(share, rel=0.02)


def test_ice_free_days_against_a_daily_line() -> None:
    lengths = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    middle = np.cumsum(lengths) - lengths / 2
    time = np.linspace(0, 365.25, 200_001)
    for threshold in (0.0, 3.0):
        line = np.interp(time, middle, MILD, period=365.25)
        expected = 365.25 * np.mean(line > threshold)
        assert float(ice_free_days(MILD, threshold)) == pytest.approx(expected, abs=0.01)


def test_ice_free_days_where_nothing_crosses() -> None:
    months = np.stack([np.full(12, 1.0), np.full(12, -1.0), np.zeros(12), np.r_[np.nan, np.full(11, 3.0)]])
    np.testing.assert_array_equal(ice_free_days(months), [365.25, 0, 0, np.nan])


@given(st.lists(st.floats(-40, 30), min_size=12, max_size=12), st.floats(0, 10), st.integers(0, 11))
def test_ice_free_days_rise_with_warming(months: list[float], warming: float, roll: int) -> None:
    tair = np.array(months)
    cold, warm = float(ice_free_days(tair)), float(ice_free_days(tair + warming))
    assert -1e-9 <= cold <= warm + 1e-9 <= 365.25 + 1e-6
    frozen = float(ice_free_days(-tair))
    if not np.any(tair == 0):
        assert cold + frozen == pytest.approx(365.25)
    assert float(ice_free_days(np.roll(tair, roll))) == pytest.approx(cold, abs=12)  # months differ in length


def test_total_against_a_sum_by_hand(shared: Path) -> None:
    cover = real_cells(shared)
    found = waters(cover, WaterSettings(best="central", draws=1000))
    offset = {"LAL": 0, "MGL": 0.38, "MPL": 0.98, "MYL": 0.38, "SGL": 0.06, "SPL": 1.13, "SYL": 1.34}
    factor = {"MPL": 1 / 0.38, "SGL": 1 / 0.38, "SPL": 1 / 0.38, "MYL": 5, "SYL": 5}
    for code, area in (("LAL", 1.3e8), ("MGL", 6.5e5)):
        factor[code] = 1 + 3 * 2 * 2 * math.sqrt(math.pi * area) / area * 0.62 / 0.38
    days = [float(ice_free_days(row)) for row in cover["tair"].values]
    annual, size = cover["tair_annual"].values, cover["cell_area"].values
    total = 0.0
    for code in WATERS:
        fraction = cover["fraction"].sel(cover=code).values
        for cell in range(82):
            if code in LAKES:
                daily = 10 ** (0.64 + 0.042 * annual[cell] + offset[code]) * factor[code] * 0.85 * 1.3
            else:
                daily = 148.8 if code == "SRR" else 99.2
            total += fraction[cell] * size[cell] * daily * days[cell] * 1e-15 * 12.011 / 16.043
    assert found.total.mean == pytest.approx(total, rel=1e-12)
    assert found.central == pytest.approx(total, rel=1e-12)
    assert found.total.mean == pytest.approx(found.lakes.mean + found.rivers.mean)
    assert sum(row.flux.mean for row in found.classes.values()) == pytest.approx(total)


def test_the_real_cells(shared: Path) -> None:
    cover = real_cells(shared)
    found = waters(cover)
    assert cover.sizes["cell"] == 82
    # numbers of docs/science/inland-waters.md
    assert found.central == pytest.approx(0.05834, abs=0.000005)
    assert found.total == pytest.approx((0.0786, 0.0282, 0.219), rel=0.01)
    assert found.lakes == pytest.approx((0.0670, 0.0160, 0.207), rel=0.01)
    assert found.rivers == pytest.approx((0.0116, 0.0065, 0.0201), rel=0.01)
    assert found.coverage == 1
    sums = (cover["fraction"] * cover["cell_area"]).sel(cover=list(WATERS)).sum("cell") * 1e-12
    assert found.area_mkm2["total"].mean == pytest.approx(float(sums.sum()))
    assert found.classes["SPL"].area_mkm2.mean == pytest.approx(float(sums.sel(cover="SPL")))
    # independent classes give limits as wide as the printed ones of all lakes: 632 to 734 % of a cell
    lakes = cover.sel(cover=list(LAKES)).sum("cell") * 100
    spread = [math.hypot(*(lakes[f"fraction_{end}"] - lakes["fraction"]).values) for end in ("low", "high")]
    assert spread == pytest.approx([41.6, 59.7], rel=0.3)


def test_only_density_and_only_area_limits() -> None:
    cover = land_cover({"SRP": [0.2]}, MILD[None], spread=0.1)
    known = {
        "LAR": Limited(99.2, 99.2, 99.2),
        "SRR": Limited(99.2, 99.2, 99.2),
        "SRP": Limited(99.2, 99.2, 99.2),
    }
    exact = waters(cover, WaterSettings(draws=5000, rivers=known))
    mean = exact.total.mean
    assert exact.density_only == pytest.approx((mean, mean, mean))
    assert exact.area_only == pytest.approx((mean, 0.9 * mean, 1.1 * mean), rel=1e-3)
    both = waters(cover, WaterSettings(draws=5000))
    assert both.density_only == pytest.approx((mean, mean * 46.1 / 99.2, mean * 152.3 / 99.2), rel=1e-2)
    # two independent normal errors, their product included
    sd = math.sqrt((0.1 / 1.96) ** 2 + (53.1 / 99.2 / 1.96) ** 2)
    assert both.total.high == pytest.approx(mean * (1 + 1.96 * sd), rel=0.02)


def test_area_errors_of_a_class_are_the_same_in_all_cells() -> None:
    one = land_cover({"LAL": [0.5]}, MILD[None], spread=0.4)
    many = land_cover({"LAL": [0.5] * 30}, np.tile(MILD, (30, 1)), spread=0.4, area=1e9 / 30)
    assert waters(many, QUICK).total == pytest.approx(waters(one, QUICK).total)


def test_correlated_classes_widen_the_limits_of_the_area() -> None:
    cover = land_cover({code: [0.08] for code in WATERS}, MILD[None], spread=0.3)
    apart = waters(cover, WaterSettings(draws=5000)).area_mkm2["total"]
    joint = waters(cover, WaterSettings(draws=5000, class_area_correlation=1)).area_mkm2["total"]
    assert joint.high - joint.low == pytest.approx(0.6 * joint.mean, rel=1e-3)
    assert apart.high - apart.low == pytest.approx(0.6 * joint.mean / math.sqrt(10), rel=0.05)


def test_mean_of_a_power_of_ten_is_above_its_middle() -> None:
    cover = land_cover({"LAL": [0.5]}, np.zeros((1, 12)) + 1e-9)
    options = {"slope": Limited(0, 0, 0), "intercept": Limited(0.6, 0.2, 1.0), "draws": 5000}
    found = waters(cover, WaterSettings(**options))
    sd = 0.4 / 1.959964 * math.log(10)
    assert found.total.mean / found.central == pytest.approx(math.exp(sd**2 / 2), rel=1e-3)
    assert found.total.high / found.central == pytest.approx(10**0.4, rel=1e-2)
    assert waters(cover, WaterSettings(best="central", **options)).total.mean == pytest.approx(found.central)


def test_every_draw_of_the_slope_is_exact() -> None:
    rng = np.random.default_rng(4)
    tair = np.r_[rng.uniform(-30, 10, 40), -50.0, 0.0]
    for slopes, close in (
        (rng.normal(0.042, 0.009, 500), 1e-11),
        (rng.normal(0.04, 0.025, 50), 1e-7),
        (np.ones(3), 1e-12),
    ):
        parts, growth = _growth(tair, slopes)
        np.testing.assert_allclose(parts @ growth, 10.0 ** (slopes[:, None] * tair), rtol=close)


def test_fluxes_of_cells_add_up_to_the_best_total(shared: Path) -> None:
    cover = real_cells(shared)
    for best in ("mean", "central"):
        options = WaterSettings(draws=1000, best=best)
        ds = water_flux(cover, options)
        validate(ds)
        kg_a_second = float((ds["fch4"] * ds["cell_area"]).sum())
        total = waters(cover, options).total.mean
        assert kg_a_second * 365.25 * 86400 * 1e-9 == pytest.approx(total, rel=1e-9)
    assert ds["fch4"].dims == ("cell",)
    assert float(ds["water_fraction"].max()) <= 1


def test_cells_without_temperature() -> None:
    cover = land_cover({"LAL": [0.5, 0.3, 0.0]}, np.stack([MILD] * 3))
    cover["tair_annual"][1:] = np.nan
    with pytest.raises(CoverageError, match=r"1 of 3 cells with water have no temperature \(cells 101\)"):
        waters(cover, QUICK)
    options = WaterSettings(draws=1000, missing="leave_out")
    found = waters(cover, options)
    assert found.coverage == pytest.approx(0.5 / 0.8)
    assert any("left out" in note for note in found.notes)
    alone = waters(land_cover({"LAL": [0.5]}, MILD[None]), options)
    assert found.total == pytest.approx(alone.total)
    np.testing.assert_array_equal(np.isnan(water_flux(cover, options)["fch4"]), [False, True, True])
    assert "62.5 %" in water_posts([found], region="here", period="2000-2020")[0].note


def test_given_ice_free_days_and_lake_sizes_take_precedence() -> None:
    cover = land_cover({"LAL": [0.5], "SRP": [0.1]}, MILD[None])
    cover["ice_free_days"] = ("cell", [100.0], {"units": "d"})
    found = waters(cover, WaterSettings(draws=1000, best="central"))
    assert found.classes["SRP"].density == pytest.approx(99.2e-3 * 100 * 12.011 / 16.043)
    cover["lake_area"] = (("cover", "cell"), np.full((10, 1), np.nan), {"units": "m2"})
    cover["lake_area"][WATERS.index("LAL")] = 1e4
    small = waters(cover, WaterSettings(draws=1000, best="central"))
    strip = 3 * 2 * 2 * math.sqrt(math.pi * 1e4) / 1e4
    ratio = (1 + strip * 0.62 / 0.38) / float(with_ebullition(0.62, shore_share(1.3e8, 2, 3)))
    assert small.classes["LAL"].flux.mean / found.classes["LAL"].flux.mean == pytest.approx(ratio)
    assert small.rivers == found.rivers


def test_small_lakes_in_wetlands_are_left_out() -> None:
    cover = land_cover({"SPL": [0.2], "LAL": [0.3]}, MILD[None])
    whole, half = waters(cover, QUICK), waters(cover, WaterSettings(draws=1000, held_by_wetlands=0.5))
    assert half.classes["SPL"].flux.mean == pytest.approx(whole.classes["SPL"].flux.mean / 2)
    assert half.classes["LAL"].flux == whole.classes["LAL"].flux
    assert half.area_mkm2["total"].mean == pytest.approx(0.4e-3)
    assert any("count twice" in note for note in whole.notes)
    assert any(note.startswith("50 %") for note in half.notes)


def test_co2_and_n2o_come_from_the_user() -> None:
    cover = land_cover({"LAL": [0.4], "SRP": [0.1]}, MILD[None], spread=0.1)
    for gas, element in (("CO2", "C"), ("N2O", "N")):
        with pytest.raises(
            ConfigError, match=f"no built-in number for {gas}. Give densities in g m-2 yr-1 of {element} "
        ):
            waters(cover, QUICK, gas)
    table = {"lakes": Limited(100, 50, 150), "SRP": Limited(800, 400, 1200), "rivers": Limited(0, 0, 0)}
    options = WaterSettings(draws=5000, densities={"CO2": table})
    found = waters(cover.drop_vars(["tair", "tair_annual"]), options, "CO2")
    assert found.unit == "Tg CO2-C yr-1"
    assert found.lakes.mean == pytest.approx(0.4e9 * 100e-12)
    assert found.rivers.mean == pytest.approx(0.1e9 * 800e-12)
    assert found.total.high == pytest.approx(0.12 + math.hypot(0.02, 0.04, 0.004, 0.008), rel=0.01)
    with pytest.raises(ConfigError, match="densities of N2O lack LAR, SRR, SRP"):
        waters(cover, WaterSettings(densities={"N2O": {"lakes": Limited(0.001, 0, 0.002)}}), "N2O")
    own = waters(cover, WaterSettings(draws=1000, densities={"CH4": table}), "CH4")
    assert own.total.mean == pytest.approx(0.12)


def test_posts_and_their_parts(shared: Path) -> None:
    cover = real_cells(shared)
    options = WaterSettings(
        densities={"CO2": {"lakes": Limited(100, 50, 180), "rivers": Limited(800, 300, 1500)}}
    )
    both = [waters(cover, options), waters(cover, options, "CO2")]
    posts = water_posts(both, region="82 cells", period="2000-2020")
    assert [(p.id, p.gas) for p in posts[:3]] == [
        ("inventory.inland_waters", "CH4"),
        ("inventory.lakes", "CH4"),
        ("inventory.rivers", "CH4"),
    ]
    parent, *parts = posts[:3]
    assert [p.part_of for p in posts[:3]] == [None, parent.id, parent.id]
    assert sum(p.mean for p in parts) == pytest.approx(parent.mean)
    assert sum(p.area_mkm2 for p in parts) == pytest.approx(parent.area_mkm2)
    assert parent.covers == {"inland_waters"}
    assert parent.origin == "non-fossil"
    assert posts[3].origin is None
    for post in posts:
        fit(post.mean, post.low, post.high)  # can be drawn
    told = json.loads(json.dumps(both[0].to_dict()))
    assert told["total"]["mean"] == both[0].total.mean
    assert set(told["classes"]) == set(WATERS)


def test_draws_depend_on_the_seed_alone() -> None:
    cover = land_cover({"SPL": [0.2, 0.1]}, np.stack([MILD, MILD - 3]), spread=0.2)
    assert waters(cover, QUICK) == waters(cover.copy(deep=True), QUICK)
    other = waters(cover, WaterSettings(draws=1000, seed=1)).total
    assert other != waters(cover, QUICK).total
    assert other == pytest.approx(waters(cover, QUICK).total, rel=0.25)


@settings(max_examples=10)
@given(st.floats(-15, 5), st.floats(0, 5))
def test_warmer_lakes_emit_more_and_limits_hold_the_best(level: float, warming: float) -> None:
    found = [
        waters(land_cover({"SPL": [0.2], "SRR": [0.1]}, MILD[None] + shift), QUICK)
        for shift in (level, level + warming)
    ]
    assert found[0].total.mean <= found[1].total.mean * (1 + 1e-12)
    for one in found:
        for number in (one.total, one.density_only, one.area_only):
            assert 0 <= number.low <= number.mean <= number.high


def bad_cover(name: str) -> xr.Dataset:
    ds = land_cover({"LAL": [0.5]}, MILD[None], spread=0.1)
    match name:
        case "percent":
            ds["fraction"] = ds["fraction"] * 100
            ds["fraction"].attrs["units"] = "1"
        case "negative":
            ds["fraction"][0] = -0.1
        case "full":
            ds["fraction"][:] = 0.3
        case "limits":
            ds["fraction_high"][0] = 0.4
        case "parent":
            ds = ds.assign_coords(cover=["LAK", *WATERS[1:]])
        case "class":
            ds = ds.isel(cover=slice(1, None))
        case "area":
            ds["cell_area"][:] = -1.0
        case "hole":
            ds["fraction"][0] = np.nan
        case "kelvin":
            ds["tair"] = ds["tair"] + 273.15
            ds["tair"].attrs["units"] = "degC"
        case "months":
            ds = ds.isel(month=slice(0, 11))
        case "season":
            ds = ds.drop_vars("tair")
        case "units":
            del ds["cell_area"].attrs["units"]
    return ds


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("percent", InputError, "Divide percentages by 100"),
        ("negative", InputError, "fraction runs from -0.1"),
        ("full", InputError, "waters fill 3 of cell number 0"),
        ("limits", InputError, "LAL in cell number 0 has fraction 0.5 outside its limits"),
        ("parent", ConfigError, "LAK is the sum of LAL"),
        ("class", InputError, "water classes LAL are missing"),
        ("area", InputError, "cell_area runs from -1"),
        ("hole", InputError, "fraction is NaN in 1 places"),
        ("kelvin", InputError, "tair runs from 253.15"),
        ("months", InputError, "tair has 11 months; expected 12"),
        ("season", InputError, r"give tair \(cell, month\) or ice_free_days"),
        ("units", UnitsError, "'cell_area' has no units"),
    ],
)
def test_bad_data_stop(name: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        waters(bad_cover(name), QUICK)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"offset": {"LAKE": Limited(0, 0, 0)}}, "class 'LAKE' is unknown"),
        ({"intercept": Limited(0.64, 0.7, 1.1)}, "with the mean between"),
        ({"shores": {"LAL": (0, 2)}}, "expected an area above 0"),
        ({"shores": {"SRP": (1e6, 2)}}, "class 'SRP' is unknown"),
        ({"densities": {"CO2": {"ponds": Limited(1, 0, 2)}}}, "class 'ponds' is unknown"),
        ({"slope": Limited(0.1, 0, 0.2)}, "more than 0.1 apart"),
        ({"ebullition": {"LAL": 1.0}}, "less than 1"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        WaterSettings(**values)


def test_a_table_keeps_the_rows_that_are_not_given() -> None:
    some = WaterSettings(rivers={"SRR": [10, 5, 15]})
    assert some.rivers["SRR"] == Limited(10, 5, 15)
    assert some.rivers["SRP"] == WaterSettings().rivers["SRP"]
    assert set(some.rivers) == set(RIVERS)
    assert some.key() != WaterSettings().key()
