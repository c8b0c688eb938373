"""Readers of inversions, on files written here in the published layouts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from inversion_world import (
    CH4,
    CO2,
    GLOBE,
    N2,
    N2O,
    NAMES,
    NORTH,
    WRITERS,
    YEARS,
    C,
    carbontracker,
    gcb,
    methane,
    nitrous,
    reccap2,
)

from talik.errors import ConfigError, GridError, InputError, UnitsError, UnitsSuspect
from talik.flux import flux_var, open_flux, write_netcdf
from talik.flux.dataset import validate
from talik.regions import land_fraction, latitude_bands, regional_total
from talik.regions.axes import grid_of
from talik.sources.inversion_checks import check_global_totals, is_global
from talik.sources.inversion_layouts import INVERSION_LAYOUTS
from talik.sources.inversions import describe_layout, read_inversion

VARIABLE = {"methane-budget": "fch4", "methane-wetlands": "fch4"} | {
    name: "fn2o" for name in INVERSION_LAYOUTS if name.startswith("n2o")
}
ALL_LAND = xr.ones_like(NORTH.cell_area()).assign_attrs(units="1")


def read(path: Path, layout: str, **options) -> xr.Dataset:
    terms = {"fch4": ["fch4_post"]} if layout == "methane-wetlands" else None
    return read_inversion(path, layout, **{"terms": terms, **options})


def yearly_tg(ds: xr.Dataset, variable: str) -> np.ndarray:
    """Total north of 50 N in each year, Tg, (year, ...), by the lengths of the steps of the file's calendar."""
    grid = grid_of(ds)
    band = latitude_bands(grid, (50.0, 90.0))
    found = regional_total(ds[variable], band, grid=grid, land_fraction=ds["land_fraction"], on_hole="nan")[
        variable
    ]
    found = found.isel(region=0, drop=True)
    seconds = [
        d.total_seconds() if hasattr(d, "total_seconds") else d / np.timedelta64(1, "s")
        for d in (b - a for a, b in ds["time_bnds"].values)
    ]
    return (found * xr.DataArray(seconds, dims="time")).groupby("time.year").sum(skipna=False).values * 1e-9


def north_of_50_m2() -> float:
    """Area of the ellipsoid north of 50 N, from the closed formula."""
    a, f = 6378137.0, 1.0 / 298.257223563
    e = np.sqrt(f * (2.0 - f))

    def above(lat: float) -> float:
        s = np.sin(np.radians(lat))
        return float(np.pi * a**2 * (1 - e**2) * (s / (1 - e**2 * s**2) + np.arctanh(e * s) / e))

    return above(90.0) - above(50.0)


@pytest.mark.parametrize("layout", WRITERS)
def test_one_gram_a_year_has_one_total_in_every_layout(tmp_path: Path, layout: str):
    """Units, species, month lengths of leap and other years, area, calendar and order of axes at once."""
    expected = north_of_50_m2() * 1e-12
    variable = VARIABLE.get(layout, "nbe")
    for calendar, how in (("standard", ""), ("noleap", "flip roll latitude"), ("360_day", "roll")):
        path = WRITERS[layout](tmp_path, how=how, calendar=calendar)
        ds = read(path, layout, land_fraction=ALL_LAND)
        totals = yearly_tg(ds.isel(member=0) if "member" in ds.dims else ds, variable)
        np.testing.assert_allclose(totals, expected, rtol=1e-6, err_msg=f"{layout} {calendar} {how}")


@pytest.mark.parametrize("layout", WRITERS)
def test_the_contract_holds_for_every_layout(tmp_path: Path, layout: str, computing_nothing):
    path = WRITERS[layout](tmp_path, how="flip roll")
    with computing_nothing():
        ds = read(path, layout)
    validate(ds)
    variable = VARIABLE.get(layout, "nbe")
    var = flux_var(variable)
    assert ds[variable].attrs["units"] == "kg m-2 s-1"
    assert ds[variable].attrs["species"] == ("N" if variable == "fn2o" else "C")
    assert ds[variable].attrs["area_basis"] == var.per == ds.attrs["basis"]
    assert ds.attrs["approach"] == ("process" if layout == "methane-wetlands" else "inversion")
    assert ds.attrs["source_file"] == path.name
    assert ds.attrs["layout"] == layout
    assert max(dict(zip(ds[variable].dims, ds[variable].chunks, strict=True))["time"]) == 12
    assert ds[variable].dims == (("member",) if layout == "gcb" else ()) + ("time", "lat", "lon")
    assert (np.diff(ds["lat"]) > 0).all()
    assert ds["lon"].values[[0, -1]].tolist() == [-175.0, 175.0]
    assert ds["time"].values[0] == ds["time_bnds"].values[0, 0]
    np.testing.assert_allclose(ds["cell_area"], NORTH.cell_area(), rtol=1e-12)
    np.testing.assert_allclose(ds["land_fraction"], land_fraction(NORTH), rtol=1e-12)
    assert any("not global" in note for note in ds.attrs["notes"])
    text = describe_layout(layout)
    assert layout in text
    assert "[V]" in text


@given(
    how=st.lists(st.sampled_from(["flip", "roll", "latitude", "chunked"]), unique=True).map(" ".join),
    calendar=st.sampled_from(["standard", "noleap", "360_day"]),
    layout=st.sampled_from(["carbontracker", "methane-budget", "n2o-pyvar"]),
    rate=st.floats(-3.0, 3.0).filter(lambda v: abs(v) > 1e-3),
)
@settings(max_examples=8)
def test_storage_does_not_change_the_total(how: str, calendar: str, layout: str, rate: float):
    variable = VARIABLE.get(layout, "nbe")
    with tempfile.TemporaryDirectory() as folder:
        path = WRITERS[layout](Path(folder), how=how, calendar=calendar, grams=rate)
        ds = read(path, layout, land_fraction=ALL_LAND).load()
    np.testing.assert_allclose(yearly_tg(ds, variable), rate * north_of_50_m2() * 1e-12, rtol=1e-6)


def test_what_was_read_can_be_written(tmp_path: Path):
    for layout in ("gcb", "methane-budget", "n2o-pyvar"):
        ds = read(WRITERS[layout](tmp_path), layout)
        write_netcdf(ds, tmp_path / f"{layout}.nc")
        with open_flux(tmp_path / f"{layout}.nc") as back:
            for name in ds.data_vars:
                np.testing.assert_array_equal(back[name], ds[name])


def test_members_have_clean_names_and_no_data_before_they_start(tmp_path: Path):
    ds = read(gcb(tmp_path), "gcb").load()
    assert ds["member"].values.tolist() == NAMES
    land = ds["land_fraction"] > 0
    there = ds["nbe"].where(land, drop=True).notnull().all(("lat", "lon"))
    held = ds["nbe"].notnull().any(("lat", "lon")).values
    assert held.sum(axis=1).tolist() == [36, 24, 0]
    assert not held[1, :12].any()
    assert there.shape == (3, 36)
    np.testing.assert_allclose(ds["coverage"].values[:, -1], [1.0, 1.0, 0.0], rtol=1e-9)
    np.testing.assert_allclose(ds["nbe_prior"], 2.0 * ds["nbe"], rtol=1e-12)
    assert ds["nbe_prior"].attrs["long_name"].endswith(", prior")
    with xr.open_dataset(gcb(tmp_path)) as held:
        text = held.load().drop_vars("ensemble_member_name")
    text["ensemble_member_name"] = ("ensemble_member", np.array(["CAMS ", "Cärbo", "CTE"], object))
    text.to_netcdf(tmp_path / "text.nc")
    assert read(tmp_path / "text.nc", "gcb")["member"].values.tolist() == ["CAMS", "Cärbo", "CTE"]
    with pytest.raises(InputError, match=r"names of members are .*expected each once"):
        read(gcb(tmp_path, names=["A", "A", "B"]), "gcb")
    with pytest.raises(InputError, match="none empty"):
        read(gcb(tmp_path, names=["A", "", "B"]), "gcb")


def test_sea_is_no_data_whether_the_file_holds_zero_or_nan(tmp_path: Path):
    """A naive mean over all cells differs between the two files by the share of the sea; here nothing does."""
    land = land_fraction(NORTH).values
    zero, nan = (gcb(tmp_path, land=land, sea=sea) for sea in (0.0, np.nan))
    with xr.open_dataset(zero) as a, xr.open_dataset(nan) as b:
        name = "land_flux_only_fossil_cement_adjusted"
        assert float(a[name][0].mean()) < 0.99 * float(b[name][0].mean())
    a, b = (read(p, "gcb").load() for p in (zero, nan))
    xr.testing.assert_allclose(a["nbe"], b["nbe"])
    assert np.isnan(a["nbe"].values[:, :, land <= 0.0]).all()
    kept = a["nbe"].isel(member=0)
    assert float(kept.std("time").max() / abs(kept).mean()) < 0.01  # no zeros diluted it
    np.testing.assert_allclose(a["coverage"], b["coverage"])


def test_a_flux_per_cell_belongs_to_the_land_of_a_shore_cell(tmp_path: Path):
    share = ALL_LAND.copy(data=np.full(NORTH.shape, 0.25))
    half = read(methane(tmp_path), "methane-budget", land_fraction=share)
    whole = read(methane(tmp_path), "methane-budget", land_fraction=ALL_LAND)
    np.testing.assert_allclose(half["fch4"], 4.0 * whole["fch4"], rtol=1e-12)
    np.testing.assert_allclose(yearly_tg(half, "fch4"), yearly_tg(whole, "fch4"), rtol=1e-12)
    with pytest.raises(GridError, match=r"runs|has centres"):
        read(methane(tmp_path), "methane-budget", land_fraction=land_fraction(GLOBE))


def test_fire_of_carbontracker_is_inside_nbe(tmp_path: Path):
    for europe in (True, False):
        layout = "carbontracker-europe" if europe else "carbontracker"
        ds = read(carbontracker(tmp_path, europe=europe), layout, land_fraction=ALL_LAND)
        np.testing.assert_allclose(ds["fFire"], 0.25 * ds["nbe"], rtol=1e-12)
        assert ds["fFire"].attrs["area_basis"] == "land"
    prior = read(carbontracker(tmp_path, europe=True), "carbontracker-europe", land_fraction=ALL_LAND)
    np.testing.assert_allclose(prior["nbe_prior"], 1.75 * prior["nbe"], rtol=1e-12)


def test_undeclared_fill_values_are_no_data(tmp_path: Path):
    gaps = np.zeros((36, *NORTH.shape), bool)
    gaps[3, 2] = True
    ds = read(
        carbontracker(tmp_path, europe=False, gaps=gaps), "carbontracker", land_fraction=ALL_LAND
    ).load()
    np.testing.assert_array_equal(ds["nbe"].isnull().values, gaps)
    assert float(ds["coverage"][3]) < 1.0 == float(ds["coverage"][4])
    ds = read(methane(tmp_path, fill=np.float32(1e20)), "methane-budget", land_fraction=ALL_LAND).load()
    assert ds["fch4"][0].isnull().all()
    assert ds["fch4"][1:].notnull().all()


def test_a_stamp_on_the_last_day_lies_in_its_month(tmp_path: Path):
    """A reader that takes the month after has 29 days in March 2000: the totals of 2000 would be of other months."""
    ds = read(methane(tmp_path), "methane-budget", land_fraction=ALL_LAND)
    lengths = [(b - a) / np.timedelta64(1, "D") for a, b in ds["time_bnds"].values]
    assert lengths[12:16] == [31, 29, 31, 30]
    assert str(ds["time"].values[0])[:10] == "1999-01-01"
    assert (ds.attrs["system"], ds.attrs["observations"]) == ("SYSTEM-4D", "surface")
    assert read(methane(tmp_path, data="GOSAT"), "methane-budget").attrs["observations"] == "satellite"
    with pytest.raises(InputError, match="every stamp is the first day of a month"):
        read(methane(tmp_path, stamp="first"), "methane-budget")


def test_time_bounds_of_a_file_decide(tmp_path: Path):
    with xr.open_dataset(methane(tmp_path, stamp="first")) as ds:
        shifted = ds.load()
    edges = np.arange("1998-12", "2001-13".replace("13", "12"), dtype="datetime64[M]").astype(
        "datetime64[ns]"
    )
    shifted["time_bnds"] = (
        ("time", "nv"),
        np.column_stack([edges, np.append(edges[1:], np.datetime64("2001-12-01"))]),
    )
    shifted["time"].attrs["bounds"] = "time_bnds"
    path = tmp_path / "S_totflux_XSURF.nc"
    shifted.to_netcdf(path)
    ds = read(path, "methane-budget", land_fraction=ALL_LAND)
    assert str(ds["time"].values[0])[:10] == "1998-12-01"


def test_months_since_are_calendar_months(tmp_path: Path):
    """Not 30.44 days each, by which the 36 months would end in the middle of a month and February stand twice."""
    with xr.open_dataset(nitrous(tmp_path, "n2o-tomcat")) as ds:
        held = ds.load()
    stamps = ("time", np.arange(36.0), {"units": "months since 1999-01-01"})
    held.assign_coords(time=stamps).to_netcdf(tmp_path / "months.nc")
    ds = read(tmp_path / "months.nc", "n2o-tomcat", land_fraction=ALL_LAND)
    np.testing.assert_allclose(yearly_tg(ds, "fn2o"), north_of_50_m2() * 1e-12, rtol=1e-6)


def test_steps_other_than_months_are_refused(tmp_path: Path):
    with xr.open_dataset(nitrous(tmp_path, "n2o-tomcat")) as ds:
        held = ds.load()
    days = ("time", np.arange(36.0), {"units": "days since 1999-01-01"})
    held.assign_coords(time=days).to_netcdf(tmp_path / "days.nc")
    with pytest.raises(InputError, match="steps are days; expected months"):
        read(tmp_path / "days.nc", "n2o-tomcat")
    held.isel(time=slice(0, None, 12)).to_netcdf(tmp_path / "years.nc")
    with pytest.raises(InputError, match=r"steps of time are 36\d\.\d days apart"):
        read(tmp_path / "years.nc", "n2o-tomcat")
    held.isel(time=[0]).to_netcdf(tmp_path / "one.nc")
    assert read(tmp_path / "one.nc", "n2o-tomcat")["time_bnds"].shape == (1, 2)


def test_files_of_years_are_joined_in_order(tmp_path: Path):
    with xr.open_dataset(reccap2(tmp_path)) as ds:
        whole = ds.load()
    paths = []
    for year in (2001, 1999, 2000):
        paths.append(tmp_path / f"part{year}.nc")
        whole.sel(time=whole["time.year"] == year).to_netcdf(paths[-1])
    ds = read(paths, "reccap2-co2", land_fraction=ALL_LAND)
    np.testing.assert_array_equal(np.unique(ds["time.year"]), YEARS)
    np.testing.assert_allclose(yearly_tg(ds, "nbe"), north_of_50_m2() * 1e-12, rtol=1e-6)
    assert len(ds.attrs["source_file"].split(", ")) == 3
    with pytest.raises(InputError, match=r"2000-01, 2000-02, 2000-03 and 9 more missing"):
        read(paths[:2], "reccap2-co2")
    with pytest.raises(InputError, match=r"2001-01, 2001-02, 2001-03 and 9 more given twice"):
        read([*paths, paths[0]], "reccap2-co2")
    whole.assign_coords(lon=whole["lon"] + 5.0).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(InputError, match="Read files of one grid"):
        read([paths[0], tmp_path / "other.nc"], "reccap2-co2")


def test_units_are_converted_if_stated_and_never_guessed(tmp_path: Path):
    area = north_of_50_m2() * 1e-12
    missing = read(gcb(tmp_path, units=None), "gcb")
    assert any("states no units: taken as published, Pg C m-2 yr-1" in n for n in missing.attrs["notes"])
    with pytest.raises(UnitsError, match="has units ''; expected one of 'kg C m-2 s-1'"):
        read(reccap2(tmp_path, units=None), "reccap2-co2")
    with pytest.raises(UnitsError, match="has units 'kg m-2 s-1'"):
        read(reccap2(tmp_path, units="kg m-2 s-1"), "reccap2-co2")  # C or CO2?
    ds = read(reccap2(tmp_path, units="kg CO2 m-2 s-1"), "reccap2-co2", land_fraction=ALL_LAND)
    np.testing.assert_allclose(yearly_tg(ds, "nbe"), area * C / CO2, rtol=1e-6)
    ds = read(methane(tmp_path, units="gC/m2/month"), "methane-budget", land_fraction=ALL_LAND)
    np.testing.assert_allclose(yearly_tg(ds, "fch4"), area * CH4 / C, rtol=1e-6)
    ds = read(
        nitrous(tmp_path, "n2o-miroc4", units="kg N2O m-2 month-1"), "n2o-miroc4", land_fraction=ALL_LAND
    )
    np.testing.assert_allclose(yearly_tg(ds, "fn2o"), area * N2 / N2O, rtol=1e-6)
    said = read(nitrous(tmp_path, "n2o-tomcat", units="kg m-2 yr-1"), "n2o-tomcat")
    assert any(
        "states units 'kg m-2 yr-1': taken as published, kg N m-2 yr-1" in n for n in said.attrs["notes"]
    )
    for units in ("kg CO2-eq m-2 s-1", "W m-2", "kg C m-2 fortnight-1"):
        with pytest.raises(UnitsError, match="never guessed"):
            read(methane(tmp_path, units=units), "methane-budget")


LAND_N = 510.1e12  # area of the globe, m2


@pytest.mark.parametrize(
    ("layout", "wrong"),
    [
        ("n2o-tomcat", 12.0),  # a month taken for a year
        ("n2o-pyvar", 24.0),  # a day taken for an hour
        ("n2o-miroc4", 1 / 12.0),
        ("n2o-mactm-r84", 10.0),
    ],
)
def test_a_global_total_that_does_not_fit_is_refused(tmp_path: Path, layout: str, wrong: float):
    right = 17.0 / (LAND_N * 1e-12)
    ds = read(nitrous(tmp_path, layout, grid=GLOBE, grams=right), layout)
    np.testing.assert_allclose(ds["fn2o"].attrs["global_total_tg"], [17.0], rtol=1e-3)
    with pytest.raises(
        UnitsSuspect, match=r"N2O.nc: fn2o: the global total is .* times the 17 expected .*1/3 to 3"
    ):
        read(nitrous(tmp_path, layout, grid=GLOBE, grams=right, wrong=wrong), layout)
    late = np.where(np.arange(36) < 24, 1.0, np.nan)  # a last year without data is not a total of 0
    ds = read(nitrous(tmp_path, layout, grid=GLOBE, grams=right, wrong=late), layout)
    np.testing.assert_allclose(ds["fn2o"].attrs["global_total_tg"], [17.0], rtol=1e-3)
    unchecked = read(
        nitrous(tmp_path, layout, grid=GLOBE, grams=right, wrong=wrong), layout, check_total=False
    )
    assert "global_total_tg" not in unchecked["fn2o"].attrs


def test_the_check_knows_gas_member_and_limits(tmp_path: Path):
    assert is_global(GLOBE)
    assert not is_global(NORTH)
    ch4 = read(methane(tmp_path, grid=GLOBE, grams=575 * C / CH4 / (LAND_N * 1e-12)), "methane-budget")
    np.testing.assert_allclose(ch4["fch4"].attrs["global_total_tg"], [575 * C / CH4], rtol=1e-3)
    with pytest.raises(UnitsSuspect, match=r"fch4: the global total"):
        read(methane(tmp_path, grid=GLOBE, grams=0.05), "methane-budget")
    two = read(gcb(tmp_path, grid=GLOBE), "gcb")
    np.testing.assert_allclose(two["nbe"].attrs["global_total_tg"], [LAND_N * 1e-12] * 2, rtol=1e-3)
    assert "no data at all: CTE" in two.attrs["notes"]
    with pytest.raises(UnitsSuspect, match=r"nbe of CAMS: .*within 15000"):
        read(gcb(tmp_path, grid=GLOBE, grams=-44.0), "gcb")
    for total, good in ((17.0 / 2.99, True), (17.0 * 2.99, True), (17.0 / 3.01, False), (-17.0, False)):
        if good:
            check_global_totals({"": total}, "fn2o", "file")
        else:
            with pytest.raises(UnitsSuspect, match="never rescale it"):
                check_global_totals({"": total}, "fn2o", "file")


def test_sectors_are_added_by_name(tmp_path: Path):
    path = methane(tmp_path)
    ds = read_inversion(
        path, "methane-budget", terms={"fch4": ["wetlands", "fresh_waters"]}, land_fraction=ALL_LAND
    )
    np.testing.assert_allclose(yearly_tg(ds, "fch4"), 0.625 * north_of_50_m2() * 1e-12, rtol=1e-6)
    assert "fch4_prior" not in ds
    with pytest.raises(InputError, match=r"expected bogs for fch4 .*variables in time are .*wetlands"):
        read_inversion(path, "methane-budget", terms={"fch4": ["bogs"]})


def test_other_files_are_refused_with_a_reason(tmp_path: Path):
    with pytest.raises(
        ConfigError, match="layout 'gcp' is unknown; choose one of: gcb, carbontracker-europe"
    ):
        read_inversion(tmp_path / "x.nc", "gcp")
    with pytest.raises(InputError, match="no such file"):
        read_inversion(tmp_path / "x.nc", "gcb")
    with pytest.raises(InputError, match="no files of an inversion"):
        read_inversion([], "gcb")
    (tmp_path / "bad.nc").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not readable as NetCDF"):
        read_inversion(tmp_path / "bad.nc", "gcb")
    with pytest.raises(InputError, match="expected land_flux_only_fossil_cement_adjusted for nbe"):
        read_inversion(methane(tmp_path), "gcb")
    with pytest.raises(GridError, match=r"carea is off by up to 5.0%"):
        read_inversion(methane(tmp_path, area=1.05), "methane-budget")
    close = read_inversion(methane(tmp_path, area=1.006), "methane-budget")
    assert any("carea differs by up to 0.60%" in n for n in close.attrs["notes"])
    with xr.open_dataset(reccap2(tmp_path)) as ds:
        ds.load().assign_coords(time=np.arange(36.0)).to_netcdf(tmp_path / "dateless.nc")
        ds.load().isel(time=[0, 1, 2, 4, 5]).to_netcdf(tmp_path / "gaps.nc")
        ds.drop_vars("lat").to_netcdf(tmp_path / "nowhere.nc")
    with pytest.raises(InputError, match="time holds no dates"):
        read_inversion(tmp_path / "dateless.nc", "reccap2-co2")
    with pytest.raises(InputError, match="1999-04 missing"):
        read_inversion(tmp_path / "gaps.nc", "reccap2-co2")
    with pytest.raises(InputError, match="no one-dimensional lat and lon"):
        read_inversion(tmp_path / "nowhere.nc", "reccap2-co2")
