"""Regional totals of a model by year, against sums written out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.ensembles.totals import COLUMNS, member_totals
from talik.errors import CoverageError, GridError, InputError, UnitsError
from talik.flux import make_flux_dataset, open_flux, write_netcdf
from talik.regions import LatLonGrid, latitude_bands

GRID = LatLonGrid.regular(10.0, lat=(50, 90))
DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
BANDS = latitude_bands(GRID, [50, 60, 90])
LAND = GRID.wrap(np.linspace(0.2, 1.0, GRID.size).reshape(GRID.shape))


def field(values: np.ndarray, time: xr.DataArray, units: str) -> xr.DataArray:
    return xr.DataArray(
        values, dims=("time", *GRID.dims), coords={"time": time, **GRID.coords()}, attrs={"units": units}
    )


def model(
    seed: int = 0, months: int = 30, calendar: str = "noleap"
) -> tuple[xr.Dataset, dict[str, np.ndarray]]:
    """Two and a half years of two fluxes."""
    rng = np.random.default_rng(seed)
    time = xr.date_range("2001-01-01", periods=months, freq="MS", calendar=calendar, use_cftime=True)
    raw = {n: rng.random((months, *GRID.shape)) * 1e-8 for n in ("gpp", "fn2o")}
    held = {n: field(v, time, "kg m-2 s-1") for n, v in raw.items()}
    return make_flux_dataset(held, approach="process", source="made here", coverage=1.0), raw


def stocks(years: int = 3) -> tuple[xr.Dataset, np.ndarray]:
    time = xr.date_range("2001-01-01", periods=years, freq="YS")
    values = np.random.default_rng(9).random((years, *GRID.shape)) * 20
    da = field(values, time, "kg m-2").assign_attrs(species="C", area_basis="land")
    return xr.Dataset({"cSoil": da, "cell_area": GRID.cell_area()}), values


def by_hand(rates: np.ndarray, year: int, days: np.ndarray = DAYS) -> list[float]:
    """Tg of the two bands in one year: sum over months and cells of rate x seconds x area x land."""
    area = np.zeros(GRID.shape)
    for i in range(GRID.shape[0]):
        south, north = np.deg2rad(GRID.y_edges[i : i + 2])
        # WGS84: authalic area of a band, Snyder 1987 eq. 3-12
        e = 0.0818191908426215

        def q(phi: float, e: float = e) -> float:
            s = np.sin(phi)
            return (1 - e**2) * (s / (1 - (e * s) ** 2) - np.log((1 - e * s) / (1 + e * s)) / (2 * e))

        area[i] = 2 * np.pi * 6378137.0**2 * (q(north) - q(south)) / 2 / GRID.shape[1]
    amount = (rates[12 * (year - 2001) :][:12] * (days * 86400.0)[:, None, None]).sum(axis=0)
    mass = amount * area * LAND.values * 1e-9
    return [mass[:1].sum(), mass[1:].sum()]


def test_totals_are_sums_by_hand_and_half_a_year_has_no_row() -> None:
    fluxes, raw = model()
    found = member_totals("m", fluxes, None, BANDS, scenario="historical", land_fraction=LAND)
    assert tuple(found.columns) == COLUMNS
    assert len(found) == 2 * 2 * 2
    assert set(found["units"]) == {"Tg year-1"}
    assert set(found["scenario"]) == {"historical"}
    np.testing.assert_allclose(found["coverage"], 1.0)
    for variable, rates in raw.items():
        for year in (2001, 2002):
            rows = found[(found["variable"] == variable) & (found["year"] == year)].set_index("region")
            np.testing.assert_allclose(rows.loc[["50-60N", ">60N"], "value"], by_hand(rates, year), rtol=1e-9)


def test_a_stock_is_its_mass() -> None:
    fluxes, _ = model()
    held, values = stocks()
    found = member_totals(
        "m", fluxes, held, BANDS, scenario="s", variables=["cSoil"], land_fraction=lambda _: LAND
    )
    assert found["year"].tolist() == [2001, 2002, 2003] * 2
    assert set(found["units"]) == {"Tg"}
    one_month = np.zeros((36, *GRID.shape))
    one_month[::12] = values  # for one second of each January
    days = np.zeros(12)
    days[0] = 1 / 86400.0
    for year in (2001, 2002, 2003):
        rows = found[found["year"] == year].set_index("region")
        np.testing.assert_allclose(
            rows.loc[["50-60N", ">60N"], "value"], by_hand(one_month, year, days), rtol=1e-9
        )
    grams = xr.Dataset(
        {"cSoil": (held["cSoil"] * 1000).assign_attrs({**held["cSoil"].attrs, "units": "g m-2"})}
    )
    other = member_totals("m", fluxes, grams, BANDS, scenario="s", variables=["cSoil"], land_fraction=LAND)
    np.testing.assert_allclose(other["value"], found["value"], rtol=1e-12)


def test_a_hole_is_a_row_without_value_or_an_error() -> None:
    fluxes, raw = model()
    fluxes["gpp"][14, 2, :18] = np.nan  # March 2002, half of 70-80 N
    found = member_totals("m", fluxes, None, BANDS, scenario="s", land_fraction=LAND).set_index(
        ["variable", "region", "year"]
    )
    hole = found.loc[("gpp", ">60N", 2002)]
    assert np.isnan(hole["value"])
    assert 0.5 < hole["coverage"] < 0.99
    assert found["value"].isna().sum() == 1
    np.testing.assert_allclose(
        found.loc[("gpp", ">60N", 2001), "value"], by_hand(raw["gpp"], 2001)[1], rtol=1e-9
    )
    with pytest.raises(
        CoverageError, match=r"'gpp' 2002: data cover 8\d\.\d\d % of >60N; expected at least 99 %"
    ):
        member_totals("m", fluxes, None, BANDS, scenario="s", land_fraction=LAND, on_hole="error")
    lower = member_totals("m", fluxes, None, BANDS, scenario="s", land_fraction=LAND, min_coverage=0.5)
    assert not lower["value"].isna().any()


def test_regions_come_to_the_grid_of_the_model() -> None:
    fluxes, raw = model()
    fine = LatLonGrid.regular(5.0, lat=(50, 90))
    weights = latitude_bands(fine, [50, 60, 90])
    found = member_totals("m", fluxes, None, weights, scenario="s", variables=["gpp"], land_fraction=LAND)
    made = member_totals(
        "m",
        fluxes,
        None,
        lambda g: latitude_bands(g, [50, 60, 90]),
        scenario="s",
        variables=["gpp"],
        land_fraction=LAND,
    )
    for table in (found, made):
        rows = table[table["year"] == 2001].set_index("region")
        np.testing.assert_allclose(
            rows.loc[["50-60N", ">60N"], "value"], by_hand(raw["gpp"], 2001), rtol=1e-9
        )
    with pytest.raises(GridError, match=r"land_fraction stands on .* Give the model's own"):
        member_totals("m", fluxes, None, BANDS, scenario="s", land_fraction=fine.wrap(np.ones(fine.shape)))


@given(
    flip=st.booleans(),
    roll=st.booleans(),
    chunk=st.sampled_from([None, 1, 7, 30]),
    block=st.sampled_from([1, 5000, 10**7]),
)
@settings(max_examples=8)
def test_storage_and_blocks_change_no_total(flip: bool, roll: bool, chunk: int | None, block: int) -> None:
    from talik.ensembles import totals

    fluxes, _ = model()
    wanted = member_totals("m", fluxes, None, BANDS, scenario="s", land_fraction=LAND)
    ds = fluxes.isel(lat=slice(None, None, -1)) if flip else fluxes
    ds = ds.assign_coords(lon=ds["lon"] % 360.0).sortby("lon") if roll else ds
    ds = ds.chunk(time=chunk) if chunk else ds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(totals, "BLOCK_VALUES", block)
        found = member_totals("m", ds, None, BANDS, scenario="s", land_fraction=LAND)
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-12)


def test_a_file_gives_the_totals_of_memory(tmp_path: Path) -> None:
    fluxes, _ = model(months=24)
    wanted = member_totals("m", fluxes, None, BANDS, scenario="s", land_fraction=LAND)
    with open_flux(write_netcdf(fluxes, tmp_path / "m.nc")) as ds:
        found = member_totals("m", ds, None, BANDS, scenario="s", land_fraction=LAND)
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-12)


def test_what_cannot_be_totalled_is_named() -> None:
    fluxes, _ = model()
    held, _ = stocks()

    def totals(f: xr.Dataset, s: xr.Dataset | None = None, **options: object) -> pd.DataFrame:
        return member_totals("m", f, s, BANDS, scenario="s", land_fraction=LAND, **options)  # type: ignore[arg-type]

    with pytest.raises(InputError, match=r"model 'm': no fFire; found gpp, fn2o\. .* absent, never 0"):
        totals(fluxes, variables=["gpp", "fFire"])
    with pytest.raises(
        CoverageError, match=r"'gpp': no calendar year of 2001-2001 is whole \(2001: no data for"
    ):
        totals(fluxes.isel(time=slice(0, 7)))
    bare = held.copy()
    bare["cSoil"] = bare["cSoil"].assign_attrs(species="")
    with pytest.raises(UnitsError, match="stock 'cSoil': species is ''; expected 'C'"):
        totals(fluxes, bare)
    twice = xr.concat(
        [held, held.assign_coords(time=held["time"] + np.timedelta64(30, "D"))], "time", data_vars="minimal"
    )
    with pytest.raises(InputError, match="6 values in 3 years; expected one value a year"):
        totals(fluxes, twice)
    undated = held.assign_coords(time=[2001, 2002, 2003])
    with pytest.raises(InputError, match=r"stock 'cSoil': time holds no dates \(dtype int64\)"):
        totals(fluxes, undated)
    both = held.rename(cSoil="gpp")
    with pytest.raises(InputError, match="'gpp' is a flux and a stock"):
        totals(fluxes, both)
    del held["cSoil"].attrs["area_basis"]
    with pytest.raises(UnitsError, match="expected area basis 'land' or 'cell'"):
        totals(fluxes, held)
