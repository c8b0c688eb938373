"""The protocol for inversions: masks, months, groups, decades, limits, satellites, fire, posts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from talik.compare.aggregate import remove_fire
from talik.ensembles.inversion_months import monthly_totals
from talik.ensembles.inversion_parts import NATURAL, natural_flux
from talik.ensembles.inversion_posts import inversion_posts
from talik.ensembles.inversions import (
    PERIODS,
    limits_of,
    mean_by_years,
    satellite_check,
    summarise_inversions,
)
from talik.errors import ConfigError, CoverageError, FluxError, GridError, PostError, UnitsSuspect
from talik.flux import flux_var, make_flux_dataset, open_flux, write_netcdf
from talik.posts.post import check_unique
from talik.posts.published import components
from talik.regions import LatLonGrid, land_fraction, latitude_bands

NORTH = LatLonGrid.regular(10.0, lat=(40.0, 90.0))
MEMBER = LatLonGrid.regular((6.0, 8.0), lat=(36.0, 90.0))
AREA = NORTH.cell_area().values
YEARS = (2000, 2003)


def months(first: int = YEARS[0], last: int = YEARS[1]) -> xr.DataArray:
    time = np.arange(f"{first}-01", f"{last + 1}-01", dtype="datetime64[M]").astype("datetime64[ns]")
    return xr.DataArray(time, dims="time", coords={"time": time})


def system(
    rate: float | np.ndarray = 1.0,
    variable: str = "nbe",
    *,
    grid: LatLonGrid = NORTH,
    years: tuple[int, int] = YEARS,
    land: xr.DataArray | None = None,
    members: list[str] | None = None,
    **attrs: str,
) -> xr.Dataset:
    """An inversion with `rate` Tg of the element a year over all of `land` of the grid, constant in space."""
    time = months(*years)
    share = (xr.ones_like(grid.cell_area()) if land is None else land).drop_attrs()
    total = float((grid.cell_area() * share).sum())
    seconds = np.array([366 if y % 4 == 0 else 365 for y in time.dt.year.values]) * 86400.0
    each = np.atleast_1d(np.asarray(rate, float))
    by_time = each.size == time.size and members is None
    series = np.atleast_2d(each if by_time else each[:, None]) * 1e9 / total / seconds
    per_land = np.broadcast_to(series[..., None, None], (series.shape[0], time.size, *grid.shape))
    values = per_land * share.values if flux_var(variable).per == "cell" else per_land.copy()
    field = xr.DataArray(
        np.where(share.values > 0, values, np.nan),
        dims=("member", "time", "lat", "lon"),
        coords={"member": members or ["one"], "time": time, **grid.coords()},
        attrs={"units": "kg m-2 s-1"},
    )
    if members is None:
        field = field.isel(member=0, drop=True)
    ds = make_flux_dataset({variable: field}, approach="inversion", source="made", coverage=1.0)
    ds["land_fraction"] = share
    return ds.assign_attrs(attrs)


def region(grid: LatLonGrid = NORTH, name: str = "north") -> xr.DataArray:
    """All of a grid, sea included."""
    return latitude_bands(grid, (grid.lat_edges[0], 90.0)).assign_coords(region=[name])


def table(values: dict[str, float], *, years: tuple[int, int] = YEARS, variable: str = "fch4", **more):
    return {
        name: system(v, variable, years=years, human_emissions_removed="yes", **more)
        for name, v in values.items()
    }


# masks


def test_one_value_a_month_by_the_real_month():
    found = monthly_totals(system(365.25), "nbe", region(), name="CTE")
    assert list(found.columns) == ["member", "region", "year", "month", "total", "coverage"]
    assert len(found) == 48
    assert set(found["member"]) == {"CTE"}
    february = found[found["month"] == 2].set_index("year")["total"]
    assert february[2000] == pytest.approx(365.25 * 29 / 366, rel=1e-12)
    assert february[2001] == pytest.approx(365.25 * 28 / 365, rel=1e-12)
    np.testing.assert_allclose(found.groupby("year")["total"].sum(), 365.25, rtol=1e-12)


def test_the_mask_is_brought_to_the_system_and_never_the_flux_to_the_mask():
    """On a grid whose cells cut those of the mask, against overlaps of intervals done here one by one."""
    rng = np.random.default_rng(7)
    mask = xr.DataArray(
        rng.random((5, 36)).round(),
        dims=("lat", "lon"),
        coords=NORTH.coords(),
        attrs={"covers": "all"},
        name="m",
    )
    ds = system(grid=MEMBER)
    ds["nbe"] = ds["nbe"].copy(data=rng.normal(size=ds["nbe"].shape))
    found = monthly_totals(ds, "nbe", mask.expand_dims(region=["permafrost"]), min_coverage=0.5)

    def band(a: float, b: float) -> float:
        e = math.sqrt(1 - (1 - 1 / 298.257223563) ** 2)

        def q(lat: float) -> float:
            s = math.sin(math.radians(lat))
            return s / (1 - e**2 * s**2) + math.atanh(e * s) / e

        return 6378137.0**2 * (1 - e**2) / 2 * (q(b) - q(a))

    total = 0.0
    first = ds["nbe"].isel(time=0).values
    for j, south in enumerate(np.arange(36.0, 90.0, 6.0)):
        for i, west in enumerate(np.arange(-180.0, 180.0, 8.0)):
            for q, low in enumerate(np.arange(40.0, 90.0, 10.0)):
                for p, left in enumerate(np.arange(-180.0, 180.0, 10.0)):
                    a, b = max(south, low), min(south + 6, low + 10)
                    width = min(west + 8, left + 10) - max(west, left)
                    if a < b and width > 0:
                        total += first[j, i] * float(mask[q, p]) * band(a, b) * math.radians(width)
    assert found["total"].iloc[0] == pytest.approx(total * 31 * 86400e-9, rel=1e-9)


def test_sea_is_no_part_of_a_region_and_shore_cells_keep_their_flux():
    land = land_fraction(NORTH)
    assert 0.2 < float((land * AREA).sum() / AREA.sum()) < 0.8
    for variable in ("nbe", "fch4"):
        found = monthly_totals(system(12.0, variable, land=land), variable, region())
        np.testing.assert_allclose(found.groupby("year")["total"].sum(), 12.0, rtol=1e-9)
        np.testing.assert_allclose(found["coverage"], 1.0, rtol=1e-9)
        only_land = xr.DataArray(land.values[None], dims=("region", "lat", "lon"), coords={**NORTH.coords()})
        only_land = only_land.assign_coords(region=["land"]).assign_attrs(covers="land")
        same = monthly_totals(system(12.0, variable, land=land), variable, only_land)
        np.testing.assert_allclose(same["total"], found["total"], rtol=1e-9)


def test_a_mask_with_more_land_than_the_system_takes_no_more_than_its_flux():
    half = xr.full_like(NORTH.cell_area(), 0.5)
    all_land = xr.ones_like(region()).assign_attrs(covers="land").drop_vars("region_area")
    for variable in ("nbe", "fch4"):
        found = monthly_totals(system(12.0, variable, land=half), variable, all_land)
        np.testing.assert_allclose(found.groupby("year")["total"].sum(), 12.0, rtol=1e-9)


def test_a_grid_with_half_rows_at_the_poles_keeps_its_total():
    """That of LMDZ, 3.75 x 1.9 degree: the row at the pole is centred on it and half as high."""
    lat = np.linspace(-90.0, 90.0, 96)[70:]
    edges = np.append(lat - 90.0 / 95.0, 90.0)
    grid = LatLonGrid(tuple(edges), tuple(np.linspace(-180.0, 180.0, 97)))
    assert grid.y[-1] == 90.0
    found = monthly_totals(system(12.0, grid=grid), "nbe", region(grid))
    np.testing.assert_allclose(found.groupby("year")["total"].sum(), 12.0, rtol=1e-9)


def test_a_hole_is_no_row_and_not_zero():
    ds = system(12.0)
    ds["nbe"] = ds["nbe"].where(~((ds["lat"] > 60) & (ds["time"].dt.month == 1)))
    found = monthly_totals(ds, "nbe", region())
    assert sorted(set(found["month"])) == list(range(2, 13))
    low = monthly_totals(ds, "nbe", region(), min_coverage=0.5)
    assert float(low["coverage"].min()) == pytest.approx(
        float(AREA[NORTH.y < 60].sum() / AREA.sum()), rel=1e-9
    )
    half = system(12.0, grid=LatLonGrid.regular(10.0, lat=(60.0, 90.0)))
    assert monthly_totals(half, "nbe", region()).empty  # the region reaches beyond the grid


@given(
    flip=st.booleans(),
    shift=st.booleans(),
    chunk=st.integers(1, 20),
    names=st.booleans(),
    rate=st.floats(-50, 50),
)
@settings(max_examples=10)
def test_storage_does_not_change_the_regional_total(flip, shift, chunk, names, rate):
    ds = system(rate, years=(2000, 2000))
    stored = ds.isel(lat=slice(None, None, -1)) if flip else ds
    if shift:
        stored = stored.assign_coords(lon=(stored["lon"] % 360).assign_attrs(stored["lon"].attrs)).sortby(
            "lon"
        )
    stored = stored.chunk(time=chunk)
    if names:
        stored = stored.rename(lat="latitude", lon="longitude")
    a, b = (monthly_totals(d, "nbe", region()) for d in (ds, stored))
    pd.testing.assert_frame_equal(a, b, rtol=1e-10, atol=1e-12)


def test_only_months_of_one_system_at_a_time():
    with pytest.raises(FluxError, match=r"expected 'nbe' and 'land_fraction'; found nbe, coverage"):
        monthly_totals(system().drop_vars("land_fraction"), "nbe", region())
    yearly = make_flux_dataset(
        {"nbe": system()["nbe"].isel(time=slice(0, None, 12))}, approach="inversion", source="x", coverage=1.0
    ).assign(land_fraction=system()["land_fraction"])
    with pytest.raises(FluxError, match=r"steps of 365..366 days; expected calendar months"):
        monthly_totals(yearly, "nbe", region())


# groups, decades and limits


def test_published_means_follow_from_the_years():
    assert round(mean_by_years([-526, -643], [10, 11])) == -587
    assert mean_by_years([14, 15], [10, 8]) == pytest.approx(14.4, abs=0.05)
    assert mean_by_years([0.01, 0.16], [10, 10]) == pytest.approx(0.085)
    by_key = {p.key: p for p in components()}
    for gas, digits in (("CO2", 0), ("CH4", 0), ("N2O", 2)):
        decades = [by_key[f"inversion.{n}_decade", gas] for n in ("first", "second")]
        whole = by_key["inversion.natural", gas]
        years = [b - a + 1 for a, b in PERIODS[gas]]
        for side in ("low", "high"):  # limits printed for the whole are weighted by years as the means are
            ours = mean_by_years([getattr(p, side) for p in decades], years)
            half = 0.5 * 10.0**-digits
            assert abs(ours - getattr(whole, side)) <= 2 * half + 1e-9, (gas, side)


def test_protocol_gives_the_published_weighting():
    """Seven systems whose decadal means are -526 and -643 on average, from files to posts."""
    spread = np.array([-300.0, -200.0, -100.0, 0.0, 100.0, 200.0, 300.0])
    years = np.repeat(np.arange(2000, 2021), 12)
    systems = {
        f"S{k}": system(np.where(years < 2010, -526.0 + d, -643.0 + d), years=(2000, 2020))
        for k, d in enumerate(spread)
    }
    found = summarise_inversions(systems, "nbe", region())
    rows = found.summary.set_index("period")
    np.testing.assert_allclose(rows["mean"], [-526.0, -643.0, (10 * -526 - 11 * 643) / 21], rtol=1e-9)
    assert rows["years"].tolist() == [10, 11, 21]
    assert rows["n"].tolist() == [7, 7, 7]
    low, high = stats.t.interval(0.95, 6, loc=-526.0, scale=stats.sem(spread))
    assert rows.loc["2000-2009", ["low", "high"]].tolist() == pytest.approx([low, high])
    posts = inversion_posts(found, "north", label="northern permafrost region")
    assert [p.id for p in posts] == ["inversion.first_decade", "inversion.second_decade", "inversion.natural"]
    assert [p.period for p in posts] == ["2000-2009", "2010-2020", "2000-2020"]
    check_unique(posts)
    printed = {p.id: p for p in components() if p.gas == "CO2"}
    for post in posts:
        assert round(post.mean) == round(printed[post.id].mean)
        assert post.covers == printed[post.id].covers
        assert post.region == printed[post.id].region
        assert (post.unit, post.approach) == (printed[post.id].unit, "inversion")


def test_22_submissions_make_14_groups():
    """Five groups with 2, 2, 3, 3 and 3 submissions and nine with one."""
    sizes = [2, 2, 3, 3, 3] + [1] * 9
    values, groups = {}, {}
    rng = np.random.default_rng(1)
    for g, size in enumerate(sizes):
        for k in range(size):
            values[f"g{g}m{k}"] = 15.0 + rng.normal()
            groups[f"g{g}m{k}"] = f"g{g}"
    assert len(values) == 22
    found = summarise_inversions(
        table(values), "fch4", region(), groups=groups, periods=[(2000, 2001), (2002, 2003)]
    )
    row = found.summary.iloc[-1]
    by_hand = np.array([np.mean([values[m] for m in values if groups[m] == f"g{g}"]) for g in range(14)])
    assert row["n"] == 14
    assert row["mean"] == pytest.approx(by_hand.mean())
    assert row["mean"] != pytest.approx(np.mean(list(values.values())), rel=1e-4)
    half = stats.t.ppf(0.975, 13) * by_hand.std(ddof=1) / np.sqrt(14)
    assert (row["low"], row["high"]) == (
        pytest.approx(by_hand.mean() - half),
        pytest.approx(by_hand.mean() + half),
    )
    members = found.groups[found.groups["period"] == "2000-2001"].set_index("group")["members"]
    assert members.tolist() == sizes
    assert not [n for n in found.notes if "limits" in n]


def test_limits_of_few_groups():
    assert stats.t.ppf(0.975, 1) == pytest.approx(12.7, abs=0.01)  # the number of the specification
    low, high = limits_of([1.0, 3.0])
    assert (low, high) == (pytest.approx(2 - 12.7062), pytest.approx(2 + 12.7062))
    assert limits_of([1.0, 3.0], "spread") == pytest.approx((2 - 1.96 * 2**0.5, 2 + 1.96 * 2**0.5))
    assert all(math.isnan(v) for v in limits_of([1.0]))
    two = summarise_inversions(table({"a": 1.0, "b": 3.0}), "fch4", region(), periods=[YEARS])
    assert two.notes == ("north, 2000-2003: 2 groups, limits say little",)
    post = inversion_posts(two, "north")[-1]
    assert post.note.endswith("n = 2; fewer than 4 groups")
    one = summarise_inversions(table({"a": 1.0}), "fch4", region(), periods=[YEARS])
    assert math.isnan(one.summary["low"].iloc[0])
    with pytest.raises(PostError, match="1 group, so there are no limits"):
        inversion_posts(one, "north")
    with pytest.raises(PostError, match="no region 'south'"):
        inversion_posts(two, "south")


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20), st.sampled_from(["t", "spread"]))
def test_limits_are_symmetric_and_follow_the_values(values, recipe):
    low, high = limits_of(values, recipe)
    mean = float(np.mean(values))
    assert high - mean == pytest.approx(mean - low, rel=1e-9, abs=1e-6)
    shifted = limits_of([2.0 * v + 5.0 for v in values], recipe)
    assert shifted == pytest.approx((2.0 * low + 5.0, 2.0 * high + 5.0), rel=1e-9, abs=1e-6)


def test_a_member_that_lacks_years_is_left_out_and_named():
    systems = table({"a": 1.0, "b": 3.0}) | {
        "late": system(100.0, "fch4", years=(2002, 2003), human_emissions_removed="y")
    }
    found = summarise_inversions(systems, "fch4", region(), periods=[(2000, 2001), (2002, 2003)])
    assert found.summary["n"].tolist() == [2, 3, 2]
    assert found.summary["mean"].tolist()[:2] == [pytest.approx(2.0), pytest.approx(104 / 3)]
    assert "late is not in 2000-2001 of north: 0 of 2 years are complete" in found.notes
    hole = systems["b"].copy()
    hole["fch4"] = hole["fch4"].where(hole["time"] != np.datetime64("2001-07-01"))
    lacking = summarise_inversions({**systems, "b": hole}, "fch4", region(), periods=[(2000, 2001)])
    assert lacking.groups["group"].tolist() == ["a"]
    assert "b is not in 2000-2001 of north: 1 of 2 years are complete" in lacking.notes
    some = summarise_inversions(systems, "fch4", region(), periods=[YEARS], fewest_years=2)
    assert some.summary["n"].tolist() == [3]
    with pytest.raises(CoverageError, match="no inversion has all of 2005-2006"):
        summarise_inversions(systems, "fch4", region(), periods=[(2005, 2006)])


def test_members_of_one_dataset_and_a_member_without_data():
    ds = system(np.array([1.0, 2.0, 3.0]), members=["A", "B", "C"])
    ds["nbe"] = ds["nbe"].where(ds["member"] != "C")
    found = summarise_inversions({"package": ds, "own": system(6.0)}, "nbe", region(), periods=[YEARS])
    assert found.groups["group"].tolist() == ["A", "B", "own"]
    assert found.summary["mean"].iloc[0] == pytest.approx(3.0)
    assert "C: no month with data in any region" in found.notes
    with pytest.raises(ConfigError, match="member 'A' stands in two datasets"):
        summarise_inversions({"package": ds, "A": system(6.0)}, "nbe", region(), periods=[YEARS])
    with pytest.raises(ConfigError, match="groups name 'Z', which is no member; found A, B, C"):
        summarise_inversions({"package": ds}, "nbe", region(), periods=[YEARS], groups={"Z": "g"})


def test_posts_of_methane_cover_what_the_printed_ones_do():
    values = {"a": 12.0, "b": 14.0, "c": 15.0, "d": 16.0}
    natural = summarise_inversions(table(values, years=(2000, 2017)), "fch4", region())
    printed = {p.id: p for p in components() if p.gas == "CH4"}
    posts = inversion_posts(natural, "north")
    assert [p.id for p in posts] == ["inversion.first_decade", "inversion.second_decade", "inversion.natural"]
    for post in posts:
        assert (post.covers, post.origin) == (printed[post.id].covers, printed[post.id].origin)
        assert post.period == printed[post.id].period
    other = summarise_inversions(table(values), "fch4", region(), periods=[(2000, 2001), (2002, 2003)])
    assert [p.id for p in inversion_posts(other, "north")] == [
        "inversion.2000-2001",
        "inversion.2002-2003",
        "inversion.natural",
    ]


def test_a_dataset_goes_through_a_file(tmp_path: Path):
    ds = system(np.array([1.0, 2.0]), members=["A", "B"])
    write_netcdf(ds, tmp_path / "x.nc")
    with open_flux(tmp_path / "x.nc") as back:
        pd.testing.assert_frame_equal(
            monthly_totals(back, "nbe", region()), monthly_totals(ds, "nbe", region())
        )


def test_several_regions_stay_apart():
    bands = latitude_bands(NORTH, (40.0, 60.0, 90.0))
    found = summarise_inversions(table({"a": 12.0, "b": 12.0}), "fch4", bands, periods=[YEARS])
    assert found.summary["region"].tolist() == ["40-60N", ">60N"]
    assert found.summary["mean"].sum() == pytest.approx(12.0)
    assert [p.region for p in inversion_posts(found, ">60N")] == [">60N"]
    by_name = summarise_inversions(table({"a": 12.0}), "fch4", ["bands:40,60,90"], periods=[YEARS])
    assert by_name.summary["mean"].tolist() == pytest.approx(found.summary["mean"].tolist())


def test_an_outlier_is_refused_or_left_out():
    """N2O 3 -> 2: one system off by a factor of 10 (specification, inventory section 12)."""
    globe = LatLonGrid.regular(10.0)
    systems = {n: system(v, "fn2o", grid=globe) for n, v in (("a", 16.0), ("b", 18.0), ("off", 170.0))}
    where = region(globe)
    with pytest.raises(UnitsSuspect, match=r"off: fn2o: the global total is 170 .* 10 times the 17 expected"):
        summarise_inversions(systems, "fn2o", where, periods=[YEARS])
    found = summarise_inversions(systems, "fn2o", where, periods=[YEARS], suspects="leave out")
    assert found.summary["n"].tolist() == [2]
    assert found.summary["mean"].iloc[0] == pytest.approx(17.0)
    assert found.notes[0].startswith("off left out: off: fn2o")
    assert not found.natural
    said = {n: systems[n] for n in ("a", "b")}
    assert summarise_inversions(said, "fn2o", where, periods=[YEARS], natural=True).natural
    assert inversion_posts(found, where["region"].values[0])[-1].id == "inversion.total"
    assert "fossil_industrial" in inversion_posts(found, "north")[-1].covers


def test_settings_are_checked():
    systems = table({"a": 1.0})
    with pytest.raises(ConfigError, match="recipe 'percentile' is unknown; choose one of: t, spread"):
        summarise_inversions(systems, "fch4", region(), recipe="percentile")
    with pytest.raises(ConfigError, match="no inversion gives 'gpp'"):
        summarise_inversions(systems, "gpp", region())
    with pytest.raises(ConfigError, match="2003 does not follow 2001"):
        summarise_inversions(systems, "fch4", region(), periods=[(2000, 2001), (2003, 2003)])
    with pytest.raises(ConfigError, match="ends before it begins"):
        summarise_inversions(systems, "fch4", region(), periods=[(2001, 2000)])
    with pytest.raises(FluxError, match="a: expected approach 'inversion'; found 'process'"):
        summarise_inversions({"a": systems["a"].assign_attrs(approach="process")}, "fch4", region())
    with pytest.raises(CoverageError, match="no inversion has 'fch4' in the regions"):
        summarise_inversions({}, "fch4", region())
    with pytest.raises(GridError, match=r"attrs\['covers'\] must be"):
        summarise_inversions(systems, "fch4", region().drop_attrs())


# satellites


def test_satellite_and_surface_runs_are_paired_by_month():
    """The satellite run begins later, in a warmer time: unpaired means would differ by far more than 13 %."""
    n = 48
    series = np.linspace(10.0, 30.0, n)
    surface = system(series, "fch4")
    satellite = system(1.13 * series, "fch4").isel(time=slice(24, None))
    tables = pd.concat(
        monthly_totals(d, "fch4", region(), name=name) for name, d in (("surf", surface), ("sat", satellite))
    )
    found = satellite_check(tables, {"CTE": ("surf", "sat")}).iloc[0]
    assert found["months"] == 24
    assert found["difference"] == pytest.approx(13.0, abs=1e-9)
    means = tables.groupby("member")["total"].mean()
    assert means["sat"] / means["surf"] > 1.4
    sink = tables.assign(total=-tables["total"])
    assert satellite_check(sink, {"CTE": ("surf", "sat")})["difference"].iloc[0] == pytest.approx(-13.0)
    with pytest.raises(ConfigError, match="CTE: no member 'gosat'; found sat, surf"):
        satellite_check(tables, {"CTE": ("surf", "gosat")})
    early = tables[(tables["member"] == "sat") | (tables["year"] < 2002)]
    with pytest.raises(CoverageError, match="surf and sat have no month in common"):
        satellite_check(early, {"CTE": ("surf", "sat")})


# fire and human emissions


def test_fire_is_taken_out_on_the_grid_of_the_system():
    fine = LatLonGrid.regular(5.0, lat=(40.0, 90.0))
    land, fine_land = (
        land_fraction(NORTH),
        0.8 * land_fraction(fine),
    )  # another coast: mass is kept all the same
    inversion = system(-500.0, land=land)
    fire = system(120.0, "fFire", grid=fine, land=fine_land)
    fire["fFire"] = fire["fFire"].fillna(0.0)
    nee = remove_fire(inversion, fire, "nbe", land_fraction=fine_land)
    found = monthly_totals(nee, "nee", region()).groupby("year")["total"].sum()
    np.testing.assert_allclose(found, -620.0, rtol=1e-6)
    assert nee["nee"].attrs["area_basis"] == "land"
    with pytest.raises(FluxError, match="fire was removed already"):
        remove_fire(nee, fire, "nee")
    with pytest.raises(FluxError, match="add 'land_fraction' of its cells"):
        remove_fire(inversion.drop_vars("land_fraction"), fire, "nbe", land_fraction=fine_land)


def test_fire_is_a_sub_flux():
    found = summarise_inversions(
        {n: system(v, "fFire") for n, v in (("a", 73.0), ("b", 78.0), ("c", 82.0), ("d", 79.0))},
        "fFire",
        region(),
        periods=[(2000, 2001), (2002, 2003)],
    )
    (post,) = inversion_posts(found, "north")
    printed = next(p for p in components() if p.key == ("inversion.fire", "CO2"))
    assert (post.id, post.part_of) == (printed.id, printed.part_of)
    assert post.covers == printed.covers
    assert post.mean == pytest.approx(78.0)


def human(rate: float, *, grid: LatLonGrid = NORTH, years: tuple[int, int] = YEARS) -> xr.Dataset:
    """Prior human CH4, annual steps, Tg C over the grid."""
    time = months(*years)[::12]
    seconds = np.array([366 if y % 4 == 0 else 365 for y in time.dt.year.values]) * 86400.0
    values = np.broadcast_to(
        (rate * 1e9 / float(grid.cell_area().sum()) / seconds)[:, None, None], (time.size, *grid.shape)
    )
    field = xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={"time": time, **grid.coords()},
        attrs={"units": "kg m-2 s-1"},
    )
    return make_flux_dataset(
        {"fAnthropogenicCh4": field}, approach="anthropogenic", source="EDGAR", coverage=1.0
    )


def test_natural_is_the_total_less_the_human_share():
    ds = system(30.0, "fch4")
    ds["fch4_prior"] = 2.0 / 3.0 * ds["fch4"]  # 20
    fine = LatLonGrid.regular(2.5, lat=(40.0, 90.0))
    natural = natural_flux(ds, [human(3.0), human(2.0, grid=fine)])
    np.testing.assert_allclose(
        monthly_totals(natural, "fch4", region()).groupby("year")["total"].sum(),
        30.0 * (1 - 5.0 / 20.0),
        rtol=1e-9,
    )
    assert natural.attrs[NATURAL] == "EDGAR (share)"
    plain = natural_flux(ds.drop_vars("fch4_prior"), [human(5.0)], method="difference")
    np.testing.assert_allclose(
        monthly_totals(plain, "fch4", region()).groupby("year")["total"].sum(), 25.0, rtol=1e-9
    )
    assert summarise_inversions({"a": natural}, "fch4", region(), periods=[YEARS]).natural
    with pytest.raises(FluxError, match="human emissions were removed already"):
        natural_flux(natural, [human(5.0)])


def test_the_share_cannot_be_formed_everywhere():
    ds = system(30.0, "fch4")
    ds["fch4_prior"] = ds["fch4"].where(ds["lat"] < 80, 0.0)
    people = human(5.0)
    nobody = people.assign(fAnthropogenicCh4=people["fAnthropogenicCh4"].where(people["lat"] < 80, 0.0))
    full = natural_flux(ds, [nobody])["fch4"].isel(time=0)
    assert full.notnull().all()  # nobody emits, so all of it is natural
    np.testing.assert_allclose(full.sel(lat=85.0), ds["fch4"].isel(time=0).sel(lat=85.0))
    holes = natural_flux(ds, [people])["fch4"].isel(time=0)
    assert holes.sel(lat=85.0).isnull().all()
    assert holes.sel(lat=75.0).notnull().all()
    flooded = natural_flux(ds, [human(60.0)])["fch4"].sel(
        lat=75.0
    )  # people emit more than the prior: nothing is left
    np.testing.assert_array_equal(flooded, 0.0)
    gaps = people.assign(fAnthropogenicCh4=people["fAnthropogenicCh4"].where(people["lat"] < 80))
    with pytest.raises(CoverageError, match="cells of land without human emissions in EDGAR"):
        natural_flux(ds, [gaps])
    with pytest.raises(CoverageError, match="no emissions for 24 of 48 months, first 2002-01"):
        natural_flux(ds, [human(5.0, years=(2000, 2001))])
    with pytest.raises(FluxError, match="fch4_prior missing"):
        natural_flux(ds.drop_vars("fch4_prior"), [people])
    with pytest.raises(FluxError, match="expected one flux of human emissions"):
        natural_flux(ds, [people.drop_vars("fAnthropogenicCh4")])
    with pytest.raises(FluxError, match="fFire is C per land area"):
        natural_flux(ds, [system(1.0, "fFire")])
    with pytest.raises(ConfigError, match="expected method 'share' or 'difference'"):
        natural_flux(ds, [people], method="ratio")


def test_natural_stays_lazy_but_for_the_people():
    ds = system(30.0, "fch4")
    ds["fch4_prior"] = ds["fch4"]
    natural = natural_flux(ds.chunk(time=6), [human(5.0)])
    assert natural["fch4"].chunks is not None
    np.testing.assert_allclose(natural["fch4"], natural_flux(ds, [human(5.0)])["fch4"])
