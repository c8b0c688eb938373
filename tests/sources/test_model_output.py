"""Reading process models: every convention gives one total, every profile the same flux."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sources.model_world import (
    CH4,
    CO2,
    GLOBE,
    NORTH,
    SECONDS,
    cmip6,
    fresh,
    isimip2,
    isimip3a,
    isimip3b,
    land_file,
    month_days,
    pcn,
    time_axis,
    trendy,
    write,
)

from talik.errors import FluxError, InputError
from talik.flux import open_flux, validate, write_netcdf
from talik.products.annual import annual_sums
from talik.regions import LatLonGrid, latitude_bands, regional_total
from talik.regions.axes import grid_of
from talik.sources.model_derived import net_biome_production, net_ecosystem_exchange
from talik.sources.model_output import read_model

GRAM = 1e-3
BAND = (50.0, 80.0)
LAND = xr.DataArray(np.ones(NORTH.shape), coords=NORTH.coords(), dims=("lat", "lon"))
PCN = {
    "MINE": {
        "extends": "PCN",
        "basis": "cell",
        "file_names": [r"(?P<model>[A-Z0-9.]+)_(?P<variable>[a-z0-9]+)\.nc"],
    }
}


def rate(year: int, calendar: str) -> float:
    """kg m-2 s-1 that is 1 g a year."""
    return GRAM / (SECONDS * month_days(year, calendar).sum())


def year_total(ds: xr.Dataset, name: str = "gpp", *, land: xr.DataArray | None = None) -> float:
    """kg over the band 50 to 80 N in 2001."""
    grid = grid_of(ds[name])
    held = regional_total(ds[name], latitude_bands(grid, BAND), land_fraction=land, min_coverage=0.1)[name]
    length = (ds["time_bnds"][:, 1] - ds["time_bnds"][:, 0]).dt.total_seconds()
    inside = (ds["time"].dt.year == 2001).values
    return float((held.isel(region=0) * length).isel(time=inside).sum())


def exact(share: float = 1.0) -> float:
    """kg that 1 g C m-2 yr-1 on land is in the band, by a formula of the ellipsoid (authalic zone)."""
    a, e2 = 6_378_137.0, 0.00669437999014
    e = np.sqrt(e2)

    def q(lat: float) -> float:
        s = np.sin(np.radians(lat))
        return (1 - e2) * (s / (1 - e2 * s * s) + np.arctanh(e * s) / e)

    return GRAM * share * np.pi * a**2 * (q(BAND[1]) - q(BAND[0]))


CLOSED: dict[str, tuple[Callable[..., Path], str, str, str, float, dict]] = {
    # writer, profile, variable in the file, calendar, factor of the file, what else
    "CMIP6 360_day": (cmip6, "CMIP6", "gpp", "360_day", 1.0, {"calendar": "360_day"}),
    "CMIP6 noleap": (cmip6, "CMIP6", "gpp", "noleap", 1.0, {"calendar": "noleap", "how": "roll"}),
    "ISIMIP3a": (isimip3a, "ISIMIP3a", "gpp", "standard", 1.0, {}),
    "ISIMIP3b": (isimip3b, "ISIMIP3b", "gpp", "365_day", 1.0, {}),
    "ISIMIP2": (isimip2, "ISIMIP2", "gpp", "standard", 1.0, {}),
    "TRENDY": (trendy, "TRENDY", "gpp", "noleap", 1.0, {}),
    "TRENDY annual": (trendy, "TRENDY", "gpp", "noleap", 1.0, {"word": "_Annual", "step": "year"}),
    "TRENDY CO2": (trendy, "TRENDY", "gpp", "noleap", CO2, {"units": "kgCO2 m-2 s-1"}),
    "PCN": (pcn, "MINE", "gpp", "standard", 0.0, {}),
}


@pytest.mark.parametrize("case", CLOSED)
def test_one_gram_is_one_gram_in_every_profile(tmp_path, case):
    writer, profile, variable, calendar, factor, more = CLOSED[case]
    values = rate(2001, calendar) * factor
    if profile == "MINE":  # amounts per month, g
        days = np.concatenate([month_days(y, calendar) for y in (2000, 2001)])
        values = (days / 365.0)[:, None, None]
    share = 0.4
    land = share * LAND
    per_cell = 1.0 if profile == "CMIP6" else share
    writer(tmp_path, variable, np.asarray(values) * per_cell, **more)
    out = read_model(tmp_path, profile, land_fraction=land, profiles=PCN)
    validate(out.fluxes)
    assert out.fluxes["gpp"].chunks is not None
    assert out.stocks is None
    total = year_total(out.fluxes, land=out.fluxes["land_fraction"])
    assert total == pytest.approx(exact(share), rel=1e-6)
    assert float(annual_sums(out.fluxes, "gpp").sel(year=2001).mean()) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("profile", "writer", "name", "mass", "change"),
    [
        ("ISIMIP3a", isimip3a, "wetlandch4", 1.0, {}),
        ("ISIMIP3a", isimip3a, "wetlandch4", CH4, {"units": "kg CH4 m-2 s-1"}),
        ("MINE", cmip6, "wetlandCH4", CH4, {}),
        ("CMIP6", cmip6, "wetlandCH4", 1.0, {"units": "kg C m-2 s-1"}),
    ],
)
def test_wetland_methane_is_carbon(tmp_path, profile, writer, name, mass, change):
    own = {"MINE": {"extends": "CMIP6", "fluxes": {"fch4": {"species": "CH4"}}}}
    writer(tmp_path, name, rate(2001, "standard") * mass, **change)
    out = read_model(tmp_path, profile, profiles=own, land_fraction=LAND).fluxes
    assert year_total(out, "fch4", land=LAND) == pytest.approx(exact(), rel=1e-6)


STORED = {
    "kg m-2 s-1": lambda v, d, n: v,
    "kg C m-2 s-1": lambda v, d, n: v,
    "gC/m2/day": lambda v, d, n: v * 1e3 * SECONDS,
    "g C m-2 month-1": lambda v, d, n: v * 1e3 * SECONDS * d[:, None, None],
    "kgCO2 m-2 month-1": lambda v, d, n: v * CO2 * SECONDS * d[:, None, None],
    "g m-2 mon-1": lambda v, d, n: v * 1e3 * SECONDS * d[:, None, None],
    "umol C m-2 s-1": lambda v, d, n: v * 1e9 / 12.011,
}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 5),
    flip=st.booleans(),
    roll=st.booleans(),
    calendar=st.sampled_from(["standard", "noleap", "360_day", "proleptic_gregorian", "366_day"]),
    since=st.sampled_from(["days since 1850-01-01", "months since 1661-1-1", "hours since 1901-01-01"]),
    units=st.sampled_from(list(STORED)),
    chunk=st.sampled_from([None, 1, 5, 12]),
    split=st.booleans(),
    bounds=st.booleans(),
    declared=st.booleans(),
)
def test_any_storage_of_one_field_gives_one_total(
    tmp_path, seed, flip, roll, calendar, since, units, chunk, split, bounds, declared
):
    """A rate that is constant in time, whatever the calendar; its total is made here, by hand."""
    folder = fresh(tmp_path)
    field = np.random.default_rng(seed).uniform(0.5, 2.0, NORTH.shape) * 1e-8
    field[:, :4] = np.nan
    own = {"ANY": {"extends": "CMIP6", "file_names": [r"(?P<model>m)_(?P<variable>[a-z]+)_\d\.nc"]}}
    how = ("flip" if flip else "") + ("roll" if roll else "")
    for i, years in enumerate([(2000, 2000), (2001, 2001)] if split else [(2000, 2001)]):
        days = np.concatenate([month_days(y, calendar) for y in range(years[0], years[1] + 1)])
        values = STORED[units](np.broadcast_to(field, (days.size, *NORTH.shape)), days, None)
        write(
            folder, f"m_gpp_{i}.nc", "gpp", values, years=years, calendar=calendar, since=since, units=units,
            how=how, chunk=chunk, bounds=bounds, declared=declared,
        )  # fmt: skip
    ds = read_model(folder, "ANY", profiles=own, land_fraction=LAND).fluxes
    assert ds.sizes["time"] == 24
    found = regional_total(ds["gpp"], latitude_bands(NORTH, BAND), land_fraction=LAND, min_coverage=0.1)[
        "gpp"
    ]
    north = NORTH.cell_area().values * ((NORTH.y > BAND[0]) & (NORTH.y < BAND[1]))[:, None]
    np.testing.assert_allclose(found.values[:, 0], np.nansum(field * north), rtol=1e-6)
    length = (ds["time_bnds"][:, 1] - ds["time_bnds"][:, 0]).dt.total_seconds().values / SECONDS
    np.testing.assert_allclose(length[12:], month_days(2001, calendar))


def gaussian(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres and edges of Gaussian rows."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return np.degrees(np.arcsin(nodes)), np.degrees(
        np.arcsin(np.clip(np.r_[-1, -1 + np.cumsum(weights)], -1, 1))
    )


def test_gaussian_rows_are_read_where_they_are(tmp_path):
    lat, edges = gaussian(32)
    grid = LatLonGrid(tuple(edges), tuple(np.linspace(-180.0, 180.0, 37)))
    cmip6(tmp_path, "gpp", 2.5e-8, grid=grid, rows=(lat, edges), how="flip roll")
    share = xr.DataArray(np.full(grid.shape, 0.3), coords=grid.coords(), dims=("lat", "lon"))
    ds = read_model(tmp_path, "CMIP6", land_fraction=share).fluxes
    assert grid_of(ds["gpp"]) == grid  # a DataArray carries its rows
    total = regional_total(ds["gpp"], latitude_bands(grid, (-90, 90)), land_fraction=ds["land_fraction"])[
        "gpp"
    ]
    globe = 510_065_621_724_088.0  # m2, WGS84
    np.testing.assert_allclose(total.values, 2.5e-8 * 0.3 * globe, rtol=1e-6)
    again = open_flux(write_netcdf(ds.drop_vars("history", errors="ignore"), tmp_path / "kept.nc"))
    assert grid_of(again["gpp"]) == grid
    again.close()


def test_dask_and_numpy_agree_and_only_the_checks_are_computed(tmp_path, computing_nothing):
    field = np.random.default_rng(1).uniform(0.5, 2.0, (24, *NORTH.shape)) * 1e-8
    cmip6(tmp_path, "npp", field)
    cmip6(tmp_path, "rh", 0.9 * field)
    ds = read_model(tmp_path, "CMIP6").fluxes
    with computing_nothing():
        nee = net_ecosystem_exchange(ds)
    np.testing.assert_allclose(nee.values, -0.1 * field, rtol=1e-5)
    xr.testing.assert_allclose(nee.compute(), net_ecosystem_exchange(ds.compute()))
    assert (ds["coverage"] <= 1.0).all()
    assert (ds["coverage"] > 0.99).all()


def test_nee_is_made_of_respiration_and_production_never_of_nbp(tmp_path):
    for name, v in (("gpp", 10e-8), ("ra", 5e-8), ("rh", 4e-8), ("npp", 5e-8), ("nbp", 0.2e-8)):
        cmip6(tmp_path, name, v)
    ds = read_model(tmp_path, "CMIP6").fluxes
    nee = net_ecosystem_exchange(ds)
    assert nee.attrs["derivation"] == "ra + rh - gpp"
    assert float(nee.mean()) == pytest.approx(-1e-8, rel=1e-6)
    assert nee.attrs["positive"] == "up"
    short = net_ecosystem_exchange(ds[["rh", "npp"]])
    assert short.attrs["derivation"] == "rh - npp"
    assert float(short.mean()) == pytest.approx(-1e-8, rel=1e-6)
    with pytest.raises(FluxError, match=r"nee needs ra \+ rh \+ gpp or rh \+ npp; found nbp"):
        net_ecosystem_exchange(ds[["nbp"]])


def test_a_model_without_fire_has_no_nbp_of_parts(tmp_path):
    for name, v in (("npp", 5e-8), ("rh", 4e-8)):
        cmip6(tmp_path, name, v)
    ds = read_model(tmp_path, "CMIP6").fluxes
    with pytest.raises(FluxError, match=r"needs npp \+ rh \+ fFire; found npp, rh.*never 0"):
        net_biome_production(ds)
    cmip6(tmp_path, "fFire", 0.4e-8)
    ds = read_model(tmp_path, "CMIP6").fluxes
    nbp = net_biome_production(ds)
    assert nbp.attrs["derivation"] == "npp - rh - fFire"
    assert float(nbp.mean()) == pytest.approx(0.6e-8, rel=1e-6)
    with pytest.raises(InputError, match=r"no file holds ra"):
        read_model(tmp_path, "CMIP6", variables=["npp", "ra"])


def test_stocks_have_their_own_years(tmp_path):
    cmip6(tmp_path, "gpp", 1e-8)
    cmip6(tmp_path, "cVeg", np.arange(24.0)[:, None, None], units="kg m-2")
    out = read_model(tmp_path, "CMIP6")
    days = month_days(2000, "standard")
    assert out.stocks is not None
    assert out.stocks["time"].dt.year.values.tolist() == [2000, 2001]
    assert (out.stocks["time_bnds"][:, 1] - out.stocks["time_bnds"][:, 0]).dt.days.values.tolist() == [
        366,
        365,
    ]
    first = (days * np.arange(12)).sum() / days.sum()
    np.testing.assert_allclose(out.stocks["cVeg"].isel(time=0), first, rtol=1e-6)
    assert out.stocks["cVeg"].attrs["units"] == "kg m-2"
    assert any("annual means" in n for n in out.stocks.attrs["notes"])


@pytest.mark.parametrize(("units", "factor"), [("kg m-2", 1.0), ("g C m-2", 1e3), ("kg m-3", None)])
def test_layers_are_summed_with_their_depths(tmp_path, units, factor):
    edges = np.array([0.0, 0.3, 1.0, 3.0])
    content = np.array([6.0, 7.0, 2.0])
    stored = content / np.diff(edges) if factor is None else content * factor
    field = np.broadcast_to(stored[None, :, None, None], (2, 3, *NORTH.shape)).copy()
    field[:, 2, 0, 0] = np.nan  # rock
    field[:, :, 1, 1] = np.nan  # a lake
    half = 0.5 * LAND
    isimip3a(tmp_path, "csoillayer", field, word="annual", step="year", units=units, layers=edges)
    isimip3a(tmp_path, "rh", 1e-8)
    out = read_model(tmp_path, "ISIMIP3a", land_fraction=half).stocks
    assert out is not None
    soil, metre = out["cSoil"], out["cSoilAbove1m"]
    assert (soil.attrs["depth_top_m"], soil.attrs["depth_bottom_m"]) == (0.0, 3.0)
    assert metre.attrs["depth_bottom_m"] == 1.0
    assert soil.attrs["derivation"] == "sum of the layers of csoillayer"
    np.testing.assert_allclose(soil[:, 5, 5], 2 * 15.0, rtol=1e-6)  # per land: twice that per cell
    np.testing.assert_allclose(metre[:, 5, 5], 2 * 13.0, rtol=1e-6)
    np.testing.assert_allclose(soil[:, 0, 0], 2 * 13.0, rtol=1e-6)
    assert soil[:, 1, 1].isnull().all()


def test_bulk_soil_carbon_and_layers_stand_side_by_side(tmp_path):
    isimip3a(
        tmp_path,
        "csoillayer",
        2.0,
        word="annual",
        step="year",
        units="kg m-2",
        layers=np.array([0.0, 0.5, 2.0]),
    )
    isimip3a(tmp_path, "csoil", 5.0, word="annual", step="year", units="kg m-2")
    isimip3a(tmp_path, "rh", 1e-8)
    out = read_model(tmp_path, "ISIMIP3a", land_fraction=LAND).stocks
    assert out is not None
    assert {str(n): float(out[n].mean()) for n in out.data_vars} == {"cSoil": 5.0, "cSoilLayers": 4.0}


def test_cmip6_land_file_serves_in_percent_and_as_share(tmp_path):
    for units, share in (("%", 25.0), ("1", 0.25), ("%", 0.25)):
        folder = fresh(tmp_path)
        cmip6(folder, "gpp", 1e-8, how="roll")
        name = "sftlf_fx_UKESM1-0-LL_piControl_r1i1p1f2_gn.nc"
        land_file(folder, name, "sftlf", share, units=units, how="roll")
        ds = read_model(folder, "CMIP6").fluxes
        np.testing.assert_allclose(ds["land_fraction"], 0.25)
        total = regional_total(ds["gpp"], latitude_bands(NORTH, BAND), land_fraction=ds["land_fraction"])
        assert float(total["gpp"][0, 0]) == pytest.approx(exact(0.25) / GRAM * 1e-8, rel=1e-6)
        assert any("taken as what they are" in n for n in ds.attrs["notes"]) == (units == "%" and share < 1)


def test_a_global_model_within_bounds_is_read_without_doubt(tmp_path):
    """120 Pg of GPP over the true land, half of it NPP: nothing to tell but the land fraction."""
    from talik.regions import land_fraction

    land = land_fraction(GLOBE)
    area = float((GLOBE.cell_area() * land).sum())
    gpp = 120e12 / area / (365 * SECONDS)
    wave = np.sin(2 * np.pi * time_axis(2000, 2001, since="months since 2000-1-1")[0] / 12)[:, None, None]
    fields = {"gpp": 1.0, "npp": 0.5, "ra": 0.5, "rh": 0.45 + 0.05 * wave, "nbp": 0.05 - 0.05 * wave}
    for name, v in fields.items():
        cmip6(tmp_path, name, gpp * np.asarray(v), grid=GLOBE, calendar="noleap")
    ds = read_model(tmp_path, "CMIP6").fluxes
    assert ds.attrs["notes"] == [
        "no land fraction given: coverage and sums over the globe use the true coast"
    ]
