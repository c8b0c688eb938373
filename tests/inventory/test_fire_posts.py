"""Fire posts: gases from dry matter, the printed numbers and their unit, the real GFED4.1s table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from talik.budget.audit import audit
from talik.budget.fire_mass import gas_mass_findings
from talik.budget.gwp import Metric
from talik.errors import ConfigError, CoverageError, FluxError, GridError, InputError
from talik.flux import make_flux_dataset
from talik.flux.table import FLUXES
from talik.inventory.fire import (
    FIRE_TYPES,
    EmissionFactors,
    Fires,
    FireSettings,
    fire_posts,
    fires_of_co2,
    fires_of_dry_matter,
    fires_of_flux,
    fires_of_table,
)
from talik.inventory.grid_totals import mean_of_years, yearly_totals
from talik.posts.post import Post
from talik.posts.published import components
from talik.regions import LatLonGrid, land_fraction, latitude_bands
from talik.sources.gfed_regions import ALL, read_gfed_regions

BOREAL = FireSettings().untyped
TEXT = {"region": "northern permafrost region", "period": "2000-2020", "source": "GFED4.1s"}


@pytest.fixture(scope="module")
def gfed(shared: Path) -> pd.DataFrame:
    return read_gfed_regions(shared / "data" / "gfed41s-regional" / "gfed41s_annual_by_region.csv.gz")


def test_the_printed_fires_are_gas_masses():
    """121 Tg CO2-C make 298 Tg dry matter; 1.8 and 0.12 are then CH4 and N2O, not CH4-C and N2O-N."""
    fires = fires_of_co2(121.0, BOREAL)
    by_hand = 121.0 * 44.009 / 12.011 / 1.489
    assert by_hand == pytest.approx(298.0, abs=0.5)
    assert fires.co2_c == pytest.approx(121.0, rel=1e-12)
    assert fires.ch4_c == pytest.approx(by_hand * 5.96e-3 * 12.011 / 16.043, rel=1e-12)
    assert fires.n2o_n == pytest.approx(by_hand * 0.41e-3 * 28.014 / 44.013, rel=1e-12)
    assert (round(fires.ch4_c, 2), round(fires.n2o_n, 3)) == (1.33, 0.078)
    printed = {p.gas: p for p in fire_posts(fires, mode="printed", **TEXT)}
    assert printed["CH4"].mean == pytest.approx(1.78, abs=0.01)
    assert round(printed["N2O"].mean, 3) == 0.122


@pytest.mark.parametrize(("gas", "tolerance"), [("CO2", 0.5), ("CH4", 0.05), ("N2O", 0.0051)])
def test_printed_mode_gives_the_published_posts(gas: str, tolerance: float):
    """Mean and limits to the printed digit (upper limit of N2O: 0.146 against 0.15)."""
    (published,) = [p for p in components() if p.id == "inventory.fires" and p.gas == gas]
    (made,) = [p for p in fire_posts(fires_of_co2(121.0, BOREAL), mode="printed", **TEXT) if p.gas == gas]
    assert made.mean == pytest.approx(published.mean, abs=tolerance)
    assert made.low == pytest.approx(published.low, abs=tolerance)
    assert made.high == pytest.approx(published.high, abs=tolerance)
    assert (made.unit, made.covers, made.origin) == (published.unit, published.covers, published.origin)
    assert ("mass of " + gas in made.note) == (gas != "CO2")


def test_the_printed_warming_of_fires_follows_from_element_masses():
    """The printed 109 Tg CO2-C with 13 and 8.2 Tg CO2-C eq of CH4 and N2O: one dry matter, element masses, and the
    warming potential of fossil CH4 (29.8)."""
    fires = fires_of_co2(109.0, BOREAL)
    gwp = Metric(100)
    assert fires.ch4_c * gwp.weight("CH4", "fossil") == pytest.approx(13.0, abs=0.05)
    assert fires.n2o_n * gwp.weight("N2O") == pytest.approx(8.2, abs=0.05)
    # the printed 1.8 and 0.12 taken for element mass would warm half as much again and more
    assert 1.8 * gwp.weight("CH4", "fossil") > 1.5 * 13.0
    assert 0.12 * gwp.weight("N2O") > 1.5 * 8.2


@given(st.floats(1e-3, 1e4), st.floats(100, 3000), st.floats(0.1, 50), st.floats(0.01, 2))
def test_gases_of_dry_matter_and_of_its_co2_agree(tg: float, co2: float, ch4: float, n2o: float):
    factors = EmissionFactors(co2=co2, ch4=ch4, n2o=n2o, carbon=500.0)
    direct = fires_of_dry_matter(tg, factors)
    np.testing.assert_allclose(fires_of_co2(direct.co2_c, factors), direct, rtol=1e-12)
    np.testing.assert_allclose(fires_of_dry_matter(2.0 * tg, factors), 2.0 * np.array(direct), rtol=1e-12)


def test_settings_change_every_number():
    with pytest.raises(ConfigError, match="mode is 'gas'"):
        fire_posts(Fires(1.0, 1.0, 1.0), mode="gas", **TEXT)
    posts = fire_posts(Fires(100.0, 1.0, 0.1), settings=FireSettings(uncertainty=0.5), id="fire.mine", **TEXT)
    assert [(p.low, p.high) for p in posts] == [(50.0, 150.0), (0.5, 1.5), (0.05, pytest.approx(0.15))]
    assert {p.id for p in posts} == {"fire.mine"}
    assert "50 % off the mean" in posts[0].note
    with pytest.raises(ConfigError, match="choose one of: CO2, CH4, N2O, C"):
        BOREAL.of("CO")
    savanna = FireSettings(fire_type="SAVA").untyped
    assert savanna.ch4 == 1.94


def test_gas_mass_under_a_unit_of_the_element_is_found():
    text = " ".join(f.explanation for f in gas_mass_findings(components()))
    assert "CH4 is 1.77 as mass of CH4, but 1.33 as CH4-C" in text
    assert "N2O is 0.122 as mass of N2O, but 0.0777 as N2O-N" in text
    found = [(f.id, f.gas) for f in gas_mass_findings(components())]
    assert found == [("inventory.fires", "CH4"), ("inventory.fires", "N2O")], "inversion.fire fits neither"
    assert gas_mass_findings(components(), found) == []
    assert gas_mass_findings(fire_posts(fires_of_co2(121.0, BOREAL), **TEXT)) == []
    printed = fire_posts(fires_of_co2(50.0, BOREAL), mode="printed", **TEXT)
    assert [f.gas for f in gas_mass_findings(printed)] == ["CH4", "N2O"]
    neither = [
        dataclasses.replace(p, mean=p.mean * 1.15, high=2 * p.high) if p.gas == "CH4" else p
        for p in fire_posts(fires_of_co2(50.0, BOREAL), **TEXT)
    ]
    assert gas_mass_findings(neither) == []
    assert [f.id for f in audit(printed, []).findings] == ["inventory.fires"] * 2


def slow_total(table: pd.DataFrame, species: str, regions: list[str], years: range) -> float:
    total = 0.0
    for _, row in table.iterrows():
        if row.species == species and row.fire_type == ALL and row.region in regions and row.year in years:
            total += row.emission_Tg
    return total / len(years)


def test_the_real_table_by_dry_matter_and_by_species(gfed: pd.DataFrame):
    """Dry matter of each type times its factor gives the table's own gases, which are masses of the gas."""
    regions, years = ["BONA", "BOAS"], range(2000, 2021)
    small = gfed[gfed["region"].isin(regions) & (gfed["fire_type"] == ALL)]
    by_matter = fires_of_table(gfed, regions, (2000, 2020))
    by_species = fires_of_table(gfed, regions, (2000, 2020), basis="species")
    np.testing.assert_allclose(by_species.co2_c, slow_total(small, "CO2", regions, years) * 12.011 / 44.009)
    np.testing.assert_allclose(by_species.ch4_c, slow_total(small, "CH4", regions, years) * 12.011 / 16.043)
    np.testing.assert_allclose(by_species.n2o_n, slow_total(small, "N2O", regions, years) * 28.014 / 44.013)
    np.testing.assert_allclose(by_matter, by_species, rtol=0.02)


def tiny_table() -> pd.DataFrame:
    """Two regions and years; region A burns 10 and 30 Tg of boreal forest, B 5 Tg of peat a year."""
    rows = [
        (
            region,
            year,
            "DM",
            kind,
            {("A", "BORF"): 10.0 + 20.0 * (year - 2000), ("B", "PEAT"): 5.0}.get((region, kind), 0.0),
        )
        for region in "AB"
        for year in (2000, 2001)
        for kind in FIRE_TYPES
    ]
    return pd.DataFrame(rows, columns=["region", "year", "species", "fire_type", "emission_Tg"])


def test_fire_types_keep_their_factors():
    fires = fires_of_table(tiny_table(), ["A", "B"], (2000, 2001))
    assert fires.ch4_c == pytest.approx((20.0 * 5.96e-3 + 5.0 * 20.8e-3) * 12.011 / 16.043)
    assert fires.co2_c == pytest.approx((20.0 * 1.489 + 5.0 * 1.703) * 12.011 / 44.009)


def test_tables_that_are_refused():
    table = tiny_table()
    with pytest.raises(CoverageError, match="12 of 36 rows are missing, first A, 2002, DM"):
        fires_of_table(table, ["A", "B"], (2000, 2002))
    with pytest.raises(CoverageError, match="first A, 2000, CO2"):
        fires_of_table(table, ["A"], (2000, 2000), basis="species")
    with pytest.raises(ConfigError, match="basis is 'C'"):
        fires_of_table(table, ["A"], (2000, 2000), basis="C")
    with pytest.raises(ConfigError, match="expected regions"):
        fires_of_table(table, [], (2000, 2000))
    with pytest.raises(InputError, match="no column emission_Tg; expected region, year"):
        fires_of_table(table.rename(columns={"emission_Tg": "Tg"}), ["A"], (2000, 2000))
    with pytest.raises(InputError, match="24 rows stand twice, first A, 2000, DM, SAVA"):
        fires_of_table(pd.concat([table, table]), ["A"], (2000, 2000))
    with pytest.raises(InputError, match="fire type 'tundra' is unknown"):
        fires_of_table(table.replace({"fire_type": {"PEAT": "tundra"}}), ["A"], (2000, 2000))


GRID = LatLonGrid.regular(10.0)


def fire_dataset(g_per_year: float = 12.0, years: int = 2, months: int | None = None) -> xr.Dataset:
    """A constant emission of carbon, g per m2 of land and (365-day) year."""
    time = xr.date_range(
        "2001-01-01", periods=months or 12 * years, freq="MS", calendar="noleap", use_cftime=True
    )
    values = np.full((time.size, *GRID.shape), g_per_year * 1e-3 / (365.0 * 86_400.0))
    flux = xr.DataArray(values, dims=("time", *GRID.dims), coords={"time": time, **GRID.coords()})
    attrs = {"units": "kg m-2 s-1", "species": "C", "positive": "up", "area_basis": "land"}
    return make_flux_dataset(
        {"fFire": flux.assign_attrs(attrs)}, approach="process", source="x", coverage=1.0
    )


def test_a_flux_dataset_over_a_region():
    """A band that is all land by the mask given: 12 g C m-2 a year times its area, as CO2-C or as all carbon."""
    band = latitude_bands(GRID, (60.0, 70.0))
    area = float(band["region_area"][0])
    whole = {"land_fraction": lambda grid: xr.ones_like(grid.cell_area())}
    fires, label = fires_of_flux(fire_dataset(), "bands:60,70", **whole)
    assert label == "2001-2002"
    assert fires.co2_c == pytest.approx(12.0 * area * 1e-12, rel=1e-9)
    np.testing.assert_allclose(fires, fires_of_co2(fires.co2_c, BOREAL))
    own = fire_dataset()
    own["fFireCh4"] = (own["fFire"] * 0.02).assign_attrs(
        {**own["fFire"].attrs, **FLUXES["fFireCh4"].attributes}
    )
    known, _ = fires_of_flux(own, "bands:60,70", **whole)
    assert known.ch4_c == pytest.approx(0.02 * fires.co2_c, rel=1e-9), "the dataset knows the kind of fire"
    assert (known.co2_c, known.n2o_n) == (fires.co2_c, fires.n2o_n)
    every, _ = fires_of_flux(fire_dataset(), band, carbon="all", period=(2002, 2002), **whole)
    assert every.co2_c / fires.co2_c == pytest.approx(1.489 * 12.011 / 44.009 / 0.464989, rel=1e-9)
    with pytest.raises(ConfigError, match="carbon is 'CO'"):
        fires_of_flux(fire_dataset(), band, carbon="CO", **whole)


def test_regions_on_another_grid_are_brought_to_the_flux():
    fine = LatLonGrid.regular(5.0)
    band = latitude_bands(fine, (60.0, 70.0))
    ds = fire_dataset()
    here = yearly_totals(ds, "fFire", latitude_bands(GRID, (60.0, 70.0)), land_fraction=land_fraction)
    there = yearly_totals(ds, "fFire", band, land_fraction=land_fraction)
    np.testing.assert_allclose(there.total, here.total, rtol=1e-9)
    assert (there.region, there.total.index.tolist()) == ("60-70N", [2001, 2002])


def test_totals_that_are_refused():
    ds = fire_dataset()
    with pytest.raises(GridError, match="give land_fraction"):
        yearly_totals(ds, "fFire", "bands:60,70")
    with pytest.raises(ConfigError, match="expected one region; found 49-60N, >60N"):
        yearly_totals(ds, "fFire", "bands")
    with pytest.raises(FluxError, match="expected a flux dataset with 'fFossil'"):
        yearly_totals(ds, "fFossil", "bands:60,70")
    with pytest.raises(FluxError, match="no time bounds"):
        yearly_totals(ds.drop_vars("time_bnds"), "fFire", "bands:60,70")
    with pytest.raises(FluxError, match="has dimension member"):
        yearly_totals(
            ds.assign(fFire=ds["fFire"].expand_dims(member=2)),
            "fFire",
            "bands:60,70",
            land_fraction=land_fraction,
        )
    part = fire_dataset(months=11)
    with pytest.raises(CoverageError, match="no calendar year of 2001-2001 is complete"):
        yearly_totals(part, "fFire", "bands:60,70", land_fraction=land_fraction)
    partly = yearly_totals(fire_dataset(months=18), "fFire", "bands:60,70", land_fraction=land_fraction)
    assert partly.total.index.tolist() == [2001]
    with pytest.raises(CoverageError, match="every year of 2001-2002; 2002 missing or incomplete"):
        mean_of_years(partly.total, (2001, 2002))
    gap = pd.Series([1.0, 2.0], index=[2001, 2003], name="x")
    with pytest.raises(CoverageError, match="2002 missing"):
        mean_of_years(gap)
    assert mean_of_years(gap, (2003, 2003)) == (2.0, "2003-2003")


def test_posts_are_valid_and_say_their_limits():
    posts = fire_posts(fires_of_co2(121.0, BOREAL), **TEXT)
    assert all(isinstance(p, Post) and p.low < p.mean < p.high for p in posts)
    assert [(p.low / p.mean, p.high / p.mean) for p in posts] == [
        (pytest.approx(0.8), pytest.approx(1.2))
    ] * 3
