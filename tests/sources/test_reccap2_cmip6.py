"""The CMIP6 regional set: published means, units proven twice, and files that claim what their numbers deny."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from talik.errors import CoverageError, GridError, InputError, UnitsError
from talik.sources.gfed_regions import read_gfed_regions
from talik.sources.reccap2_cmip6 import (
    COLUMNS,
    DENSITY,
    cmip6_members,
    implied_areas,
    map_areas,
    read_reccap2_cmip6,
    to_totals,
)

FOLDER = "data/reccap2-cmip6-regions"
AREA = 2.0e13


@pytest.fixture(scope="module")
def real(shared):
    return read_reccap2_cmip6(shared / FOLDER / "cmip6_region_annual.parquet")


def made(*, models=("A", "B"), years=range(2001, 2009), sign=1.0):
    """A file as the real one: nbp and netAtmosLandCO2Flux are one flux of a region of AREA, in years of 365 days."""
    rng = np.random.default_rng(3)
    rows = []
    for model in models:
        for year in years:
            nbp = float(rng.uniform(-1.0, 1.0))
            density = sign * nbp * 1e12 / (AREA * 365 * 86_400)
            for name, value in {
                "nbp": nbp,
                "netAtmosLandCO2Flux": density,
                "fFire": 3e-10,
                "gpp": 9.0,
                "cVeg": 50.0,
                "tas": 270.0,
            }.items():
                rows.append(("Europe", "historical", model, "r1i1p1f1", name, year, value))
    columns = ["region", "experiment", "model", "member", "variable", "year", "value"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def written(tmp_path):
    def write(table):
        path = tmp_path / "made.parquet"
        table.to_parquet(path, index=False)
        return path

    return write


def test_published_means_of_2010_to_2019(real, shared):
    """Means that the authors typed in their plotting script: historical to 2014, then ssp126."""
    printed = pd.read_csv(shared / FOLDER / "region_reference_values.csv").set_index(["region", "quantity"])
    decade = real[real["year"].between(2010, 2019) & real["scenario"].isin(["historical", "ssp126"])]
    ours = decade.groupby(["region", "variable", "model"])["value"].mean().groupby(level=[0, 1]).mean()
    for region in ("Permafrost", "North_America", "North_Asia", "Europe"):
        for name in ("GPP", "NBP"):
            expected = printed.loc[(region, name), "cmip6_mean"]
            assert ours[region, name.lower()] == pytest.approx(expected, abs=0.0051), (region, name)


def test_the_real_table(real):
    assert len(real) == 341_309
    assert tuple(real.columns) == COLUMNS
    assert set(real["scenario"]) == {"historical", "ssp126", "ssp370"}
    assert set(real.loc[real["region"] == "Permafrost", "variable"]) == {
        *("tas", "pr", "gpp", "npp", "rh", "nbp"),
        *("cVeg", "cSoil", "cLitter", "cLand", "cProduct"),
    }
    assert real.attrs["positive"]["nbp"] == real.attrs["positive"]["netAtmosLandCO2Flux"] == "down"
    assert real.attrs["positive"]["fFire"] == "up"
    small = real[real["variable"].isin(["fFire", "fLuc", "fHarvest", "netAtmosLandCO2Flux"])]
    assert set(small["units"]) == {DENSITY}
    assert small["value"].abs().max() < 1e-8  # as Pg a year this would be nothing


def test_two_columns_of_the_real_file_are_one_flux_in_two_units(real, shared):
    areas = implied_areas(real)
    assert areas["model"].nunique() == 7
    exact = areas[~areas["model"].isin(["CNRM-ESM2-1", "MPI-ESM1-2-LR"])]
    assert exact["spread"].max() < 1e-12  # the same ratio in 251 to 337 years
    on_map = map_areas(shared / FOLDER / "reccap2_region_mask_1deg.nc")
    off = areas["area_m2"] / areas["region"].map(on_map) - 1.0
    assert off.abs().max() < 0.025
    assert areas["area_m2"].min() > 0.0  # one sign


def test_total_fire_of_the_real_table_is_of_the_size_of_gfed(real, shared):
    totals = to_totals(real)
    assert DENSITY not in set(totals["units"])
    rows = totals[(totals["variable"] == "fFire") & (totals["region"] == "North_Asia")]
    rows = rows[(rows["scenario"] == "historical") & (rows["year"] >= 1997)]
    mean = rows.groupby("model")["value"].mean()
    fires = read_gfed_regions(shared / "data/gfed41s-regional/gfed41s_annual_by_region.csv.gz")
    fires = fires[(fires["region"] == "BOAS") & (fires["species"] == "CO2") & (fires["fire_type"] == "ALL")]
    observed = fires.loc[fires["year"] <= 2014, "element_Tg"].mean() / 1000.0
    assert ((mean > observed / 3) & (mean < observed * 3)).all()
    untouched = totals["variable"] == "gpp"
    pd.testing.assert_series_equal(totals.loc[untouched, "value"], real.loc[untouched, "value"])


def test_members_of_the_real_table(real):
    members = cmip6_members().set_index("model")
    assert set(members.index) == set(real["model"])
    burns = set(real.loc[real["variable"].isin(["fFire", "fFireNat"]), "model"])
    assert burns <= set(members.index[members["fire"]])
    wide = real.pivot(index=["model", "region", "scenario", "year"], columns="variable", values="value")
    parts = wide["cVeg"] + wide["cSoil"] + wide["cProduct"].fillna(0.0)
    off = ((wide["cLand"] - parts) / wide["cLand"]).abs().groupby("model").max()
    inside = members.index[members["litter_in_soil"]]
    assert (off[inside] < 1e-5).all()
    assert wide["cLitter"].groupby("model").count()[inside].sum() == 0
    assert (members.groupby("group")[["family", "layered", "fire"]].nunique() == 1).all().all()


def test_densities_times_area_are_totals(written):
    table = read_reccap2_cmip6(written(made()))
    found = implied_areas(table)
    np.testing.assert_allclose(found["area_m2"], AREA, rtol=2e-3)
    totals = to_totals(table, {"Europe": AREA}).query("variable == 'fFire'").set_index("year")["value"]
    assert totals.loc[2001].iloc[0] == pytest.approx(3e-10 * AREA * 365 * 86_400 / 1e12)
    assert totals.loc[2004].iloc[0] == pytest.approx(3e-10 * AREA * 366 * 86_400 / 1e12)  # a leap year
    assert to_totals(table, {"Europe": AREA}).attrs["notes"][-1].startswith("32 rows in kg m-2 s-1")
    with pytest.raises(CoverageError, match="no area for region Europe; known are Asia"):
        to_totals(table, {"Asia": AREA})


def test_a_region_without_an_implied_area_is_refused(written):
    rows = made()
    table = read_reccap2_cmip6(written(rows[rows["variable"] != "netAtmosLandCO2Flux"]))
    with pytest.raises(CoverageError, match="no area for region Europe; known are none"):
        to_totals(table)


def test_values_that_deny_their_units(written):
    rows = made()
    as_said = rows.copy()  # small terms in Pg a year, as the note beside the file has it
    as_said.loc[as_said["variable"] == "fFire", "value"] = 0.1
    with pytest.raises(UnitsError, match=r"fFire reaches 0.1, which cannot be kg m-2 s-1"):
        read_reccap2_cmip6(written(as_said))
    density = rows.copy()
    density.loc[density["variable"] == "gpp", "value"] = 2e-8
    with pytest.raises(UnitsError, match="gpp never exceeds 2e-08, which cannot be Pg year-1"):
        read_reccap2_cmip6(written(density))
    teragrams = rows.copy()
    teragrams.loc[teragrams["variable"] == "gpp", "value"] *= 1000.0
    with pytest.raises(UnitsError, match="gpp reaches 9e"):
        read_reccap2_cmip6(written(teragrams))


def test_opposite_signs_are_refused(written):
    with pytest.raises(UnitsError, match="nbp and netAtmosLandCO2Flux of A in Europe have opposite signs"):
        read_reccap2_cmip6(written(made(sign=-1.0)))


def test_other_tables_are_refused(written):
    rows = made()
    with pytest.raises(InputError, match="no column experiment"):
        read_reccap2_cmip6(written(rows.drop(columns="experiment")))
    with pytest.raises(InputError, match="variable 'wetlandCH4' is unknown"):
        read_reccap2_cmip6(written(rows.replace({"variable": {"tas": "wetlandCH4"}})))
    with pytest.raises(InputError, match="given twice, first A Europe historical 2001 nbp"):
        read_reccap2_cmip6(written(pd.concat([rows, rows.iloc[:1]])))
    with pytest.raises(InputError, match="A has 2 realisations"):
        read_reccap2_cmip6(written(pd.concat([rows, rows.iloc[:1].assign(member="r2i1p1f1", year=1999)])))


def test_what_is_absent_stays_absent(written):
    rows = made()
    rows.loc[(rows["variable"] == "fFire") & (rows["model"] == "B"), "value"] = np.nan
    table = read_reccap2_cmip6(written(rows))
    assert set(table.loc[table["variable"] == "fFire", "model"]) == {"A"}
    assert table["value"].notna().all()


def test_another_map_is_refused(tmp_path):
    import xarray as xr

    path = tmp_path / "map.nc"
    xr.Dataset({"mask": ("lat", np.zeros(3))}).to_netcdf(path, engine="netcdf4")
    with pytest.raises(InputError, match="no variable Region_Map; found mask"):
        map_areas(path)
    xr.Dataset({"Region_Map": (("lat", "lon"), np.zeros((3, 4)))}).to_netcdf(path, engine="netcdf4")
    with pytest.raises(GridError, match="expected lat 180, lon 360"):
        map_areas(path)
    with pytest.raises(InputError, match="not readable as NetCDF"):
        map_areas(tmp_path / "none.nc")
