"""Traps of model files: what a naive reader gets wrong is converted or refused, each with what to do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from tests.sources.model_world import (
    CO2,
    GLOBE,
    NORTH,
    SECONDS,
    cmip6,
    isimip2,
    isimip3a,
    isimip3b,
    land_file,
    month_days,
    pcn,
    trendy,
    write,
)

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.regions import land_fraction
from talik.sources.model_checks import GLOBAL
from talik.sources.model_output import read_model
from talik.sources.model_profiles import describe_format, model_profile, profile_names
from talik.sources.model_stocks import annual
from talik.sources.model_time import Steps
from talik.sources.model_values import plain_units

LAND = xr.DataArray(np.ones(NORTH.shape), coords=NORTH.coords(), dims=("lat", "lon"))
NEE_OF_SEASONS = np.random.default_rng(0).normal(0.0, 1e-8, (24, *NORTH.shape))


@cache
def land_area() -> float:
    """m2 of land on the globe, on the coarse grid."""
    return float((GLOBE.cell_area() * land_fraction(GLOBE)).sum())


def of_the_globe(pg: float) -> float:
    """kg m-2 s-1 of land that is so many Pg a year."""
    return pg * 1e12 / land_area() / (365 * SECONDS)


def naive(folder: Path, variable: str) -> np.ndarray:
    """What xarray alone makes of the only file."""
    with xr.open_dataset(next(folder.glob("*.nc*")), decode_times=False) as ds:
        return ds[variable].values


# --- units, species, sign ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain", "species"),
    [
        ("kg m-2 s-1", "kg m-2 s-1", None),
        ("kg C m-2 s-1", "kg m-2 s-1", "C"),
        ("kgC/m2/s", "kg/m2/s", "C"),
        ("gC m-2 month-1", "g m-2 month-1", "C"),
        ("kg(C) m-2 s-1", "kg m-2 s-1", "C"),
        ("g CO2 m^-2 yr-1", "g m^-2 yr-1", "CO2"),
        ("kgCH4 m-2 s-1", "kg m-2 s-1", "CH4"),
        ("umol CO2 m-2 s-1", "umol m-2 s-1", "CO2"),
    ],
)
def test_units_are_told_from_what_they_weigh(text, plain, species):
    assert plain_units(text) == (plain, species)


def test_units_of_two_species_are_refused():
    with pytest.raises(UnitsError, match=r"name C and CH4"):
        plain_units("kg C of kg CH4 m-2")


def test_amounts_per_month_under_units_per_second_are_seen_in_the_global_sum(tmp_path):
    value = of_the_globe(120.0) * 30 * SECONDS * 1e-3
    cmip6(tmp_path, "gpp", value, grid=GLOBE)
    assert naive(tmp_path, "gpp").max() > 1e3 * of_the_globe(120.0)
    with pytest.raises(
        UnitsError, match=r"gpp is 3\.1\d+e\+05 Pg C .* expected 80 to 200: per month or year"
    ):
        read_model(tmp_path, "CMIP6")


def test_carbon_dioxide_for_carbon_is_seen_in_the_global_sum(tmp_path):
    cmip6(tmp_path, "gpp", of_the_globe(120.0) * CO2, grid=GLOBE)
    with pytest.raises(UnitsError, match=r"gpp is 4\d\d(\.\d)? Pg C .*CO2 for C is a factor 3\.66"):
        read_model(tmp_path, "CMIP6")
    noted = read_model(tmp_path, "CMIP6", implausible="note").fluxes.attrs["notes"]
    assert any(n.startswith("implausible: gpp is 4") for n in noted)


@pytest.mark.parametrize(("tg", "fits"), [(150.0, True), (60.0, False), (400.0, False)])
def test_wetland_methane_is_held_against_the_global_sum(tmp_path, tg, fits):
    own = {"CMIP6": {"extends": "CMIP6", "fluxes": {"fch4": {"species": "CH4"}}}}
    cmip6(tmp_path, "wetlandCH4", of_the_globe(tg * 1e-3), table="Emon", grid=GLOBE)
    with pytest.raises(UnitsError, match=r"which mass it counts.*Say species: C, CO2 or CH4"):
        read_model(tmp_path, "CMIP6")
    if fits:
        read_model(tmp_path, "CMIP6", profiles=own)
    else:
        with pytest.raises(UnitsError, match=r"fch4 is 0\.\d+ Pg CH4 .* expected 0\.1 to 0\.25"):
            read_model(tmp_path, "CMIP6", profiles=own)


def test_bands_of_production_keep_carbon_dioxide_out():
    """A model in the middle of a band is outside it by CO2 mass, and by months for seconds."""
    for name in ("gpp", "npp", "rh"):
        low, high, _ = GLOBAL[name]
        assert np.sqrt(low * high) * CO2 > high
        assert np.sqrt(low * high) * 30 * SECONDS > high


def test_nbp_with_the_sign_of_nee_is_refused(tmp_path):
    cmip6(tmp_path, "npp", 5e-8 - NEE_OF_SEASONS)
    cmip6(tmp_path, "rh", 5e-8)
    cmip6(tmp_path, "nbp", NEE_OF_SEASONS)  # up
    with pytest.raises(
        UnitsError, match=r"nbp goes against NPP - Rh \(correlation -1\.00\): it has the sign of NEE"
    ):
        read_model(tmp_path, "CMIP6")


@pytest.mark.parametrize(
    ("name", "table"), [("nbp", "Lmon"), ("netAtmosLandCO2Flux", "Emon"), ("nep", "Emon")]
)
def test_nbp_down_is_read_as_it_is_by_either_name(tmp_path, name, table):
    cmip6(tmp_path, "npp", 5e-8 - NEE_OF_SEASONS)
    cmip6(tmp_path, "rh", 5e-8)
    cmip6(tmp_path, name, -NEE_OF_SEASONS, table=table, positive="down")
    ds = read_model(tmp_path, "CMIP6").fluxes
    found = ds["nep" if name == "nep" else "nbp"]
    np.testing.assert_allclose(found, -NEE_OF_SEASONS, atol=1e-14)
    assert (found.attrs["positive"], found.attrs["stored_name"]) == ("down", name)
    assert not any("sign" in n for n in ds.attrs["notes"])


def test_fire_counts_in_the_sign_of_nbp(tmp_path):
    """Where NBP is mostly fire, NPP - Rh alone would not tell its sign."""
    fire = np.abs(NEE_OF_SEASONS)[:, ::-1]
    for name, values in (("npp", 5e-8 + 0.01 * NEE_OF_SEASONS), ("rh", 5e-8), ("fFire", fire)):
        cmip6(tmp_path, name, values)
    cmip6(tmp_path, "nbp", 0.01 * NEE_OF_SEASONS - fire)
    assert not any(
        "sign" in n for n in read_model(tmp_path, "CMIP6", land_fraction=LAND).fluxes.attrs["notes"]
    )
    cmip6(tmp_path, "nbp", fire - 0.01 * NEE_OF_SEASONS)
    with pytest.raises(UnitsError, match="nbp goes against NPP - Rh"):
        read_model(tmp_path, "CMIP6", land_fraction=LAND)


def test_a_file_that_says_another_direction_is_refused(tmp_path):
    cmip6(tmp_path, "nbp", 1e-9, positive="up")
    with pytest.raises(UnitsError, match=r"says positive 'up'; the format has 'down'"):
        read_model(tmp_path, "CMIP6")


@pytest.mark.parametrize("name", ["gpp", "npp", "ra", "rh"])
def test_production_and_respiration_of_the_other_sign_are_refused(tmp_path, name):
    cmip6(tmp_path, name, -3e-8)
    with pytest.raises(UnitsError, match=f"{name} is negative on the whole"):
        read_model(tmp_path, "CMIP6")


def test_npp_in_another_species_breaks_the_balance(tmp_path):
    for name, value in (("gpp", 10e-8), ("npp", 5e-8 * CO2), ("ra", 5e-8)):
        cmip6(tmp_path, name, value)
    with pytest.raises(UnitsError, match=r"GPP - NPP - Ra is -133 % of GPP: one of them has other units"):
        read_model(tmp_path, "CMIP6")


def test_fire_that_is_zero_is_no_fire(tmp_path):
    cmip6(tmp_path, "fFire", 0.0)
    with pytest.raises(UnitsError, match=r"fFire is 0 everywhere: a model without fire has no fFire"):
        read_model(tmp_path, "CMIP6")


def test_units_that_are_missing_are_the_documented_ones_and_told(tmp_path):
    isimip3a(tmp_path, "gpp", 1e-8, units=None)
    notes = read_model(tmp_path, "ISIMIP3a", land_fraction=LAND).fluxes.attrs["notes"]
    assert any(n.endswith("gpp states no units: taken as published, kg m-2 s-1") for n in notes)


@pytest.mark.parametrize(
    ("block", "units", "message"),
    [
        ({}, "g C m-2 month-1", "which area gpp is per"),
        ({"basis": "land"}, None, "gpp states no units, and its format has none"),
        ({"basis": "land"}, "g m-2 month-1", "does not say which mass it counts"),
        ({"basis": "land"}, "g C m-2", "cannot become"),
    ],
)
def test_nothing_is_guessed_about_a_product_without_format(tmp_path, block, units, message):
    pcn(tmp_path, "gpp", 1.0, units=units)
    with pytest.raises(UnitsError, match=message):
        read_model(tmp_path, "MINE", profiles={"MINE": {"extends": "PCN", **block}})


# --- area ----------------------------------------------------------------------------------------------------------


def test_a_flux_per_cell_needs_the_land_fraction_of_its_model(tmp_path):
    isimip3a(tmp_path, "gpp", 1e-8)
    with pytest.raises(UnitsError, match=r"per area of the cell and no land fraction.*landfrac, contfrac"):
        read_model(tmp_path, "ISIMIP3a")
    land_file(tmp_path, "jules-vn6p3_contfrac.nc", "contfrac", 0.5, how="flip")
    ds = read_model(tmp_path, "ISIMIP3a").fluxes
    np.testing.assert_allclose(ds["gpp"], 2e-8, rtol=1e-6)
    assert ds.attrs["stored_basis"] == "cell"
    land_file(tmp_path, "jules-vn6p3_landfrac.nc", "landfrac", 0.4)
    with pytest.raises(
        InputError, match=r"both hold land_fraction, as landfrac and contfrac|as contfrac and landfrac"
    ):
        read_model(tmp_path, "ISIMIP3a")


def test_a_land_fraction_of_another_model_is_refused(tmp_path):
    isimip3a(tmp_path, "gpp", 1e-8)
    other = LAND.where(LAND["lon"] > -100, 0.0)
    with pytest.raises(UnitsError, match=r"2\d(\.\d)? % of gpp lies in cells without land"):
        read_model(tmp_path, "ISIMIP3a", land_fraction=other)
    with pytest.raises(GridError, match=r"land_fraction"):
        read_model(tmp_path, "ISIMIP3a", land_fraction=LAND.isel(lat=slice(0, 5)))
    with pytest.raises(UnitsError, match=r"expected shares of land"):
        read_model(tmp_path, "ISIMIP3a", land_fraction=LAND * 5e3)


def test_a_file_that_says_where_land_is_per_land(tmp_path):
    isimip3a(tmp_path, "gpp", 1e-8, cell_methods="area: mean where land time: mean")
    ds = read_model(tmp_path, "ISIMIP3a", land_fraction=0.5 * LAND).fluxes
    np.testing.assert_allclose(ds["gpp"], 1e-8, rtol=1e-6)
    assert any("per land area" in n for n in ds.attrs["notes"])


def test_a_cmip6_file_per_cell_is_refused(tmp_path):
    cmip6(tmp_path, "gpp", 1e-8, cell_methods="area: mean time: mean")
    with pytest.raises(UnitsError, match=r"a mean over the whole cell, where the format has land only"):
        read_model(tmp_path, "CMIP6")


def test_true_coast_is_taken_only_when_asked_for(tmp_path):
    isimip3a(tmp_path, "gpp", 1e-8 * land_fraction(NORTH).values)
    ds = read_model(tmp_path, "ISIMIP3a", land_fraction="natural-earth").fluxes
    held = ds["gpp"].values[0]
    np.testing.assert_allclose(held[np.isfinite(held)], 1e-8, rtol=1e-6)
    assert ds["land_fraction"].attrs["origin"] == "Natural Earth 1:50m"


# --- fill ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [1e20, -9999.0, -99999.0, -32768.0, -123456.0])
def test_undeclared_fill_is_no_data(tmp_path, fill):
    field = np.full((24, *NORTH.shape), 1e-8)
    field[:, :, 3] = np.nan
    trendy(tmp_path, "gpp", field, model="CABLE-POP", fill=fill, declared=False, dim="time")
    assert abs(naive(tmp_path, "gpp")).max() > 1e3
    ds = read_model(tmp_path, "TRENDY", land_fraction=LAND).fluxes
    assert ds["gpp"][:, :, 3].isnull().all()
    np.testing.assert_allclose(ds["gpp"][:, :, 4:], 1e-8, rtol=1e-6)
    np.testing.assert_allclose(ds["coverage"], 35 / 36, rtol=1e-9)
    assert any("no declared fill" in n for n in ds.attrs["notes"]) == (fill == -123456.0)


def test_fluxes_that_no_land_has_are_not_taken_for_fill(tmp_path):
    cmip6(tmp_path, "gpp", np.random.default_rng(0).uniform(1.0, 9.0, (24, *NORTH.shape)))
    with pytest.raises(UnitsError, match=r"gpp reaches \d\.?\d* kg m-2 s-1, which no land does"):
        read_model(tmp_path, "CMIP6", implausible="note")


def test_fill_in_lakes_is_told_by_the_coverage(tmp_path):
    field = np.full((24, *NORTH.shape), 1e-8)
    field[:, 2, 5] = np.nan
    cmip6(tmp_path, "gpp", field)
    ds = read_model(tmp_path, "CMIP6", land_fraction=LAND).fluxes
    area = NORTH.cell_area()
    np.testing.assert_allclose(ds["coverage"], 1 - float(area[2, 5] / area.sum()), rtol=1e-12)
    cmip6(tmp_path, "ra", np.nan)
    with pytest.raises(UnitsError, match=r"ra has no data"):
        read_model(tmp_path, "CMIP6", land_fraction=LAND)


def test_stocks_in_grams_under_kilograms_are_refused(tmp_path):
    cmip6(tmp_path, "gpp", 1e-8)
    cmip6(tmp_path, "cSoil", np.random.default_rng(0).uniform(8e3, 3e4, (24, *NORTH.shape)), units="kg m-2")
    with pytest.raises(UnitsError, match=r"cSoil.* reaches \S+ kg m-2, which no land does: other units"):
        read_model(tmp_path, "CMIP6")


def test_undeclared_fill_of_stocks_is_no_data(tmp_path):
    field = np.full((24, *NORTH.shape), 12.0)
    field[:, 3] = np.nan
    cmip6(tmp_path, "gpp", 1e-8)
    cmip6(tmp_path, "cSoil", field, units="kg m-2", fill=-777.0, declared=False)
    out = read_model(tmp_path, "CMIP6").stocks
    assert out is not None
    assert out["cSoil"][:, 3].isnull().all()
    assert float(out["cSoil"].mean()) == pytest.approx(12.0)
    assert any("cSoil holds -777 kg m-2, no declared fill" in n for n in out.attrs["notes"])


@pytest.mark.parametrize(("factor", "fits"), [(0.995, True), (0.9, False)])
def test_areas_of_the_file_are_held_against_the_ellipsoid(tmp_path, factor, fits):
    cmip6(tmp_path, "gpp", 1e-8)
    name = "areacella_fx_UKESM1-0-LL_historical_r1i1p1f2_gn.nc"
    land_file(tmp_path, name, "areacella", NORTH.cell_area().values * factor, units="m2")
    if fits:
        notes = read_model(tmp_path, "CMIP6").fluxes.attrs["notes"]
        assert any("differ from WGS84 by 0.5 %: cell_area is that of WGS84" in n for n in notes)
    else:
        with pytest.raises(GridError, match=r"areacella.*differ from WGS84 by 10 %"):
            read_model(tmp_path, "CMIP6")


def test_coverage_is_that_of_the_variable_with_most_holes(tmp_path):
    field = np.full((24, *NORTH.shape), 1e-8)
    cmip6(tmp_path, "gpp", field)
    field[:, :, :9] = np.nan
    cmip6(tmp_path, "rh", field)
    ds = read_model(tmp_path, "CMIP6", land_fraction=LAND).fluxes
    np.testing.assert_allclose(ds["coverage"], 0.75, rtol=1e-9)


def test_zeros_over_the_sea_are_no_data(tmp_path):
    sea = LAND.where(LAND["lon"] > 0, 0.0)
    cmip6(tmp_path, "gpp", 1e-8 * sea.values)
    ds = read_model(tmp_path, "CMIP6", land_fraction=sea).fluxes
    assert (ds["gpp"].notnull() == (sea > 0)).all()


# --- time ----------------------------------------------------------------------------------------------------------


def test_months_since_are_calendar_months(tmp_path):
    isimip2(tmp_path, "gpp", 1e-8)
    with xr.open_dataset(next(tmp_path.glob("*.nc4")), decode_times=False) as raw:
        days = (raw["time"].values * 30.44 / 365.25 + 1661)[0]
    ds = read_model(tmp_path, "ISIMIP2", land_fraction=LAND).fluxes
    assert ds["time"].values[0] == np.datetime64("2000-01-01")
    assert days > 2000  # a naive month of 30.44 days is off by weeks after 340 years
    assert ds["time"].size == 24


def test_years_since_are_calendar_years(tmp_path):
    name = "lpjml_gswp3_nobc_hist_pressoc_co2_gpp_global_annual_2000_2003.nc4"
    write(
        tmp_path,
        name,
        "gpp",
        1e-8,
        years=(2000, 2003),
        step="year",
        since="years since 1860-1-1",
        stamp="start",
    )
    ds = read_model(tmp_path, "ISIMIP2", land_fraction=LAND).fluxes
    assert ds["time"].dt.year.values.tolist() == [2000, 2001, 2002, 2003]
    assert (
        ds["time_bnds"][:, 1] == ds["time_bnds"][:, 0].values + np.array([366, 365, 365, 365], "m8[D]")
    ).all()


def test_a_wrong_calendar_shows_in_months_that_are_missing_or_twice(tmp_path):
    """365_day stamps over 150 years without the attribute drift by five weeks in the standard calendar."""
    trendy(
        tmp_path,
        "gpp",
        1e-8,
        years=(1900, 1960),
        since="days since 1700-01-01",
        state_calendar=False,
        stamp="start",
    )
    with pytest.raises(
        InputError, match=r"expected each month once.* With calendar noleap every month stands once"
    ):
        read_model(tmp_path, "TRENDY", land_fraction=LAND)
    own = {"MINE": {"extends": "TRENDY", "default_calendar": "noleap"}}
    ds = read_model(tmp_path, "MINE", land_fraction=LAND, profiles=own).fluxes
    assert ds["time"].size == 61 * 12
    assert ds["time"].dt.calendar == "noleap"


def test_stamps_at_the_end_of_the_month_are_moved_when_the_name_says_so(tmp_path):
    isimip3a(tmp_path, "gpp", 1e-8, stamp="end")
    ds = read_model(tmp_path, "ISIMIP3a", land_fraction=LAND).fluxes
    assert ds["time"].values[0] == np.datetime64("2000-01-01")
    assert any("moved to the beginning" in n for n in ds.attrs["notes"])


def test_steps_with_bounds_are_not_moved_to_fit_a_name(tmp_path):
    cmip6(tmp_path, "gpp", 1e-8)
    path = next(tmp_path.glob("*.nc"))
    path.rename(path.with_name(path.name.replace("200001-200112", "199912-200111")))
    with pytest.raises(
        InputError, match=r"time runs 2000-01\.\.2001-12, but the file name says 1999-12\.\.2001-11"
    ):
        read_model(tmp_path, "CMIP6")


def test_annual_means_are_of_whole_calendar_years():
    """Months from July 2000 to June 2003, each with its own number: 2001 and 2002 are whole."""
    steps = Steps(np.arange(12 * 2000 + 6, 12 * 2003 + 6), "month", "noleap")
    mean = annual(xr.DataArray(np.arange(36.0), dims="time"), steps, "cVeg", [])
    days = month_days(2001, "noleap")
    assert [t.year for t in mean["time"].values] == [2001, 2002]
    np.testing.assert_allclose(mean, [(days * (np.arange(12) + k)).sum() / 365 for k in (6, 18)])
    with pytest.raises(InputError, match="no whole calendar year"):
        annual(
            xr.DataArray(np.arange(9.0), dims="time"), Steps(steps.first[:9], "month", "noleap"), "cVeg", []
        )


def test_a_name_that_says_other_years_is_refused(tmp_path):
    isimip3a(tmp_path, "gpp", 1e-8, since="days since 1901-01-01")
    path = next(tmp_path.glob("*.nc"))
    path.rename(path.with_name(path.name.replace("2000_2001", "1990_1991")))
    with pytest.raises(
        InputError, match=r"time runs 2000-01\.\.2001-12, but the file name says 1990-01\.\.1991-12"
    ):
        read_model(tmp_path, "ISIMIP3a", land_fraction=LAND)


def test_a_calendar_that_the_product_does_not_have_is_refused(tmp_path):
    isimip3a(tmp_path, "gpp", 1e-8, calendar="360_day")
    with pytest.raises(
        InputError, match=r"calendar of time is '360_day'; files of this product have standard"
    ):
        read_model(tmp_path, "ISIMIP3a", land_fraction=LAND)


@pytest.mark.parametrize(
    ("second", "message"), [((2001, 2003), r"overlaps .*2001-12\)"), ((2003, 2004), "leaves a gap after")]
)
def test_files_must_follow_each_other(tmp_path, second, message):
    cmip6(tmp_path, "gpp", 1e-8, years=(2000, 2001))
    cmip6(tmp_path, "gpp", 1e-8, years=second)
    with pytest.raises(InputError, match=message):
        read_model(tmp_path, "CMIP6")


def test_years_before_nanoseconds_have_dates_too(tmp_path):
    isimip3b(tmp_path, "gpp", 1e-8, years=(1601, 1602), calendar="proleptic_gregorian")
    isimip3b(tmp_path, "npp", 1e-8, years=(1602, 1603), calendar="proleptic_gregorian")
    ds = read_model(tmp_path, "ISIMIP3b", land_fraction=LAND).fluxes
    assert [str(t)[:7] for t in ds["time"].values[[0, -1]]] == ["1602-01", "1602-12"]
    assert any("cut to the steps that all variables have" in n for n in ds.attrs["notes"])


def test_annual_and_monthly_fluxes_are_not_mixed(tmp_path):
    trendy(tmp_path, "gpp", 1e-8, model="SDGVM")
    trendy(tmp_path, "nbp", 1e-9, model="SDGVM", word="_Annual", step="year")
    with pytest.raises(InputError, match=r"different steps or calendars.*Read them apart"):
        read_model(tmp_path, "TRENDY", land_fraction=LAND)
    ds = read_model(tmp_path, "TRENDY", land_fraction=LAND, variables=["nbp"]).fluxes
    assert ds["time"].size == 2


# --- files ---------------------------------------------------------------------------------------------------------


def test_two_names_of_one_flux_are_refused(tmp_path):
    trendy(tmp_path, "npp", 1e-8, model="JULES")
    trendy(tmp_path, "npp_nlim", 1e-8, model="JULES")
    with pytest.raises(InputError, match=r"both hold npp, as npp_nlim and npp|as npp and npp_nlim"):
        read_model(tmp_path, "TRENDY", land_fraction=LAND)


@pytest.mark.parametrize("inside", ["npp", "npp-total", "npp_total", "NPP"])
def test_a_total_may_be_called_so(tmp_path, inside):
    isimip3a(tmp_path, "npp", 1e-8, inside=inside)
    assert "npp" in read_model(tmp_path, "ISIMIP3a", land_fraction=LAND).fluxes


def test_a_name_that_does_not_fit_its_content_is_refused(tmp_path):
    isimip3a(tmp_path, "npp", 1e-8, inside="gpp")
    with pytest.raises(InputError, match=r"expected the variable npp; found gpp"):
        read_model(tmp_path, "ISIMIP3a", land_fraction=LAND)


def test_plant_types_are_no_total(tmp_path):
    path = isimip3a(tmp_path, "gpp", 1e-8)
    path.rename(path.with_name(path.name.replace("_gpp_", "_gpp-c3grass_")))
    with pytest.raises(InputError, match=r"holds the part 'c3grass' of gpp; expected the total"):
        read_model(tmp_path, "ISIMIP3a", land_fraction=LAND)


def test_models_and_runs_are_read_one_by_one(tmp_path):
    cmip6(tmp_path, "gpp", 1e-8)
    cmip6(tmp_path, "gpp", 2e-8, model="CESM2")
    with pytest.raises(InputError, match=r"files of 2 models, CESM2, UKESM1-0-LL; say model="):
        read_model(tmp_path, "CMIP6")
    assert float(read_model(tmp_path, "CMIP6", model="CESM2").fluxes["gpp"].mean()) == pytest.approx(
        2e-8, rel=1e-6
    )
    with pytest.raises(InputError, match=r"no file is of model 'MIROC6'"):
        read_model(tmp_path, "CMIP6", model="MIROC6")
    cmip6(tmp_path, "npp", 1e-8, run="ssp585_r1i1p1f2_gn")
    with pytest.raises(InputError, match=r"different runs \(experiment ssp585 and historical\)"):
        read_model(tmp_path, "CMIP6", model="UKESM1-0-LL")


@pytest.mark.parametrize("name", ["gpp.nc", "UKESM_gpp.nc", "JULES_S3_gpp.nc.gz"])
def test_names_of_another_product_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"the name is not one of CMIP6"):
        read_model(tmp_path / name, "CMIP6")


def test_other_variables_are_left_out_and_told_and_paths_must_exist(tmp_path):
    cmip6(tmp_path, "gpp", 1e-8)
    cmip6(tmp_path, "tas", 280.0, table="Amon", units="K")
    assert any("variable tas is not in" in n for n in read_model(tmp_path, "CMIP6").fluxes.attrs["notes"])
    with pytest.raises(InputError, match=r"no such file or folder"):
        read_model(tmp_path / "absent", "CMIP6")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no NetCDF files"):
        read_model(tmp_path / "empty", "CMIP6")
    cmip6(tmp_path / "empty", "cVeg", 1.0, units="kg m-2")
    with pytest.raises(InputError, match=r"but no flux"):
        read_model(tmp_path / "empty", "CMIP6")


def test_what_is_implausible_is_an_error_or_a_note(tmp_path):
    cmip6(tmp_path, "gpp", 1e-8)
    with pytest.raises(InputError, match=r"implausible is 'warn'; expected 'error' or 'note'"):
        read_model(tmp_path, "CMIP6", implausible="warn")


def test_single_steps_need_their_length(tmp_path):
    name = "LPJ_S3_gpp.nc"
    write(tmp_path, name, "gpp", 1e-8, years=(2000, 2000), step="year", since="days since 1900-01-01")
    with pytest.raises(InputError, match=r"neither months nor years.*a single step needs time bounds"):
        read_model(tmp_path, "TRENDY", land_fraction=LAND)
    write(
        tmp_path,
        name,
        "gpp",
        1e-8,
        years=(2000, 2000),
        step="year",
        since="days since 1900-01-01",
        bounds=True,
    )
    ds = read_model(tmp_path, "TRENDY", land_fraction=LAND).fluxes
    assert (ds["time_bnds"][0, 1] - ds["time_bnds"][0, 0]).dt.days == 366


def test_a_broken_file_is_said_to_be_one(tmp_path):
    path = cmip6(tmp_path, "gpp", 1e-8)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"not readable as NetCDF"):
        read_model(path, "CMIP6")


def test_plant_types_inside_a_file_are_refused(tmp_path):
    cmip6(tmp_path, "gpp", 1e-8, layers=np.array([0.0, 1.0, 2.0]))
    with pytest.raises(InputError, match=r"has the dimension depth; expected time, lat and lon"):
        read_model(tmp_path, "CMIP6")


def test_uneven_rows_without_bounds_are_refused(tmp_path):
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(10)[0]))
    path = cmip6(tmp_path, "gpp", 1e-8)
    with xr.open_dataset(path, decode_times=False) as ds:
        ds.load()
    path.unlink()
    ds.assign_coords(lat=lat).to_netcdf(path)
    with pytest.raises(GridError, match=r"gpp_Lmon.*lat is not evenly spaced.*lat_bnds"):
        read_model(tmp_path, "CMIP6")


# --- profiles ------------------------------------------------------------------------------------------------------


def test_a_model_is_added_by_a_block_of_yaml(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "LANDMODEL:\n"
        "  title: my model\n"
        "  file_names: ['^(?P<model>lm)_(?P<variable>[A-Z]+)\\.nc$']\n"
        "  basis: land\n"
        "  fluxes:\n"
        "    nbp: {names: [NEE], units: g m-2 d-1, species: CO2, positive: down, status: assumed}\n"
    )
    write(tmp_path, "lm_NEE.nc", "NEE", CO2, units="g m-2 d-1")
    ds = read_model(tmp_path / "lm_NEE.nc", "LANDMODEL", profiles=tmp_path / "mine.yaml").fluxes
    np.testing.assert_allclose(ds["nbp"], 1e-3 / SECONDS, rtol=1e-6)
    assert "LANDMODEL" in profile_names(tmp_path / "mine.yaml")
    assert "g m-2 d-1 of CO2, down [assumed]" in describe_format("LANDMODEL", tmp_path / "mine.yaml")


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_prints_its_facts_and_their_status(name):
    text = describe_format(name)
    assert text.startswith(f"{name}: ")
    assert "[assumed]" in text
    for flux in model_profile(name).fluxes:
        assert f"  {flux}: " in text


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"extends": "CMIP7"}, "extends 'CMIP7', which is unknown"),
        ({"extends": "CMIP6", "bases": "land"}, r"MINE\.bases: Extra inputs"),
        ({"extends": "CMIP6", "fluxes": {"gpp": {"units": "kg C m-2 s-1"}}}, "units name a species"),
        (
            {"extends": "CMIP6", "fluxes": {"gp": {"names": ["gp"], "positive": "up", "status": "assumed"}}},
            "flux table",
        ),
        ({"extends": "CMIP6", "fluxes": {"ra": {"names": ["rh"]}}}, "the name 'rh' stands for"),
        ({"extends": "CMIP6", "file_names": ["(?P<model>x)"]}, "no named group variable"),
        ({"extends": "CMIP6", "file_names": ["(?P<model>x"]}, "no regular expression"),
        ({"extends": "CMIP6", "calendars": ["lunar"]}, "calendar 'lunar' is unknown"),
        ({"extends": "MINE"}, "which extends it"),
    ],
)
def test_wrong_profiles_are_refused_with_their_place(block, message):
    with pytest.raises(ConfigError, match=message):
        model_profile("MINE", {"MINE": block})


def test_unknown_profiles_are_listed_against():
    with pytest.raises(ConfigError, match=r"'CMIP5' is unknown; choose one of: ISIMIP3a"):
        model_profile("CMIP5")
    with pytest.raises(ConfigError, match=r"expected blocks of profiles"):
        model_profile("MINE", {"MINE": 3})
