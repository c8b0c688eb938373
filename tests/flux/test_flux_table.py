"""The table of flux variables, and what follows from it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import GridError, UnitsError
from talik.flux import FLUXES, FluxVar, flux_var, mass_ratio, recast, register_flux, table
from talik.flux.table import MOLAR

# names used by the table that stand in the CF standard name table, version 92 (checked by hand against the copy that
# scitools-iris 3.14.1 ships, iris/std_names.py); canonical units of each are kg m-2 s-1
CF_TABLE_92 = {
    "gross_primary_productivity_of_biomass_expressed_as_carbon",
    "net_primary_productivity_of_biomass_expressed_as_carbon",
    "surface_net_downward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_all_land_processes",
    "surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_plant_respiration",
    "surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_heterotrophic_respiration",
    "surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_emission_from_fires",
}


def test_every_variable_is_fully_described():
    for name, var in FLUXES.items():
        assert name == var.name
        assert var.units == "kg m-2 s-1"
        assert var.long_name
        assert var.standard_name is None or var.standard_name in CF_TABLE_92
        if var.standard_name and "downward" in var.standard_name:
            assert var.positive == "down"
        if var.standard_name and "upward" in var.standard_name:
            assert var.positive == "up"


def test_directions_are_those_of_the_field():
    human = {"fFossil", "fAnthropogenicCh4", "fFossilCh4", "fAgriWasteCh4", "fAnthropogenicN2o"}
    up = {n for n, v in FLUXES.items() if v.positive == "up"}
    land_use = {"fLuc", "fHarvest", "fGrazing"}
    natural = {"nee", "nbe", "reco", "ra", "rh", "fFire", "fch4", "fn2o", "fFireCh4", "fFireN2o"}
    assert up == natural | land_use | human
    assert {n for n, v in FLUXES.items() if v.positive == "down"} == {"gpp", "npp", "nep", "nbp"}


def test_parts_form_a_tree_of_one_element():
    """A flux inside another is never, by any way up, inside itself."""
    for var in FLUXES.values():
        seen, here = {var.name}, var
        while here.part_of is not None:
            assert mass_ratio(here.species, flux_var(here.part_of).species) > 0
            here = flux_var(here.part_of)
            assert here.name not in seen
            seen.add(here.name)
    assert {n for n, v in FLUXES.items() if v.part_of == "nee"} == {"gpp", "reco"}
    assert {n for n, v in FLUXES.items() if v.part_of == "reco"} == {"ra", "rh"}


def test_gases_of_fires_are_carbon_and_nitrogen_of_no_other_flux():
    found = {n: (FLUXES[n].species, FLUXES[n].positive, FLUXES[n].part_of) for n in ("fFireCh4", "fFireN2o")}
    assert found == {"fFireCh4": ("C", "up", None), "fFireN2o": ("N", "up", None)}


def test_molar_masses_add_up_from_the_elements():
    c, n, o, h = 12.011, 14.007, 15.999, 1.008
    sums = {"C": c, "N": n, "CO2": c + 2 * o, "CH4": c + 4 * h, "CO": c + o, "N2O": 2 * n + o}
    assert {k: pytest.approx(v, rel=1e-12) for k, v in sums.items()} == dict(MOLAR)


def test_ratios_count_atoms():
    assert mass_ratio("CO2", "C") == pytest.approx(12.011 / 44.009)
    assert mass_ratio("CH4", "C") == pytest.approx(12.011 / 16.043)
    assert mass_ratio("N2O", "N") == pytest.approx(28.014 / 44.013)  # two N in each N2O
    with pytest.raises(UnitsError, match="C cannot become N2O: one carries C, the other N"):
        mass_ratio("C", "N2O")
    with pytest.raises(UnitsError, match="'CO2-C' is unknown"):
        mass_ratio("CO2-C", "C")


@given(st.sampled_from(["C", "CO2", "CH4", "CO"]), st.sampled_from(["C", "CO2", "CH4", "CO"]))
def test_ratios_are_consistent(a, b):
    assert mass_ratio(a, b) * mass_ratio(b, a) == pytest.approx(1)
    assert mass_ratio(a, "C") * mass_ratio("C", b) == pytest.approx(mass_ratio(a, b))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positive": "upward"}, "say 'up' .* or 'down'"),
        ({"positive": ""}, "positive is ''"),
        ({"species": "carbon"}, "species 'carbon' is unknown"),
        ({"per": "area"}, "say 'land' or 'cell'"),
    ],
)
def test_ambiguous_descriptions_are_refused(changes, message):
    with pytest.raises(UnitsError, match=message):
        FluxVar(**{"name": "x", "species": "C", "positive": "up", "long_name": "x", **changes})


def test_other_packages_can_add_but_not_redefine(monkeypatch):
    extra = FluxVar(name="fch4_test", species="C", positive="up", long_name="CH4 from a test")
    monkeypatch.setattr(table, "_registry", registry := dict(FLUXES))
    monkeypatch.setattr(table, "FLUXES", registry)
    register_flux(extra)
    register_flux(extra)
    assert flux_var("fch4_test") is extra
    with pytest.raises(UnitsError, match="already in the table with another meaning"):
        register_flux(FluxVar(name="nee", species="C", positive="down", long_name="wrong way"))
    for parent, message in (("fch5", "flux 'fch5' is not in the table"), ("fn2o", "C cannot become N")):
        with pytest.raises(UnitsError, match=message):
            register_flux(FluxVar(name="lost", species="C", positive="up", long_name="x", part_of=parent))
    assert "lost" not in registry
    with pytest.raises(UnitsError, match="table stores 'kg m-2 s-1'"):
        register_flux(FluxVar(name="lost", species="C", positive="up", long_name="x", units="g m-2 d-1"))
    with pytest.raises(UnitsError, match="flux 'NEE' is not in the table; known are: nee, gpp"):
        flux_var("NEE")


def test_the_table_is_cheap_to_import():
    code = "import sys, talik.flux.table; print([m for m in ('xarray', 'pint', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def cell(values, units="g m-2 d-1", **attrs) -> xr.DataArray:
    return xr.DataArray(
        np.asarray(values, dtype=float), dims="cell", name="flux", attrs={"units": units, **attrs}
    )


def test_recast_by_hand():
    """-1.2 g CO2 m-2 d-1 of uptake per cell, 40 % land, as nee: kg C per land area."""
    source = FluxVar(name="NBP", species="CO2", positive="down", per="cell", long_name="x", units="g m-2 d-1")
    land = xr.DataArray([0.4], dims="cell")
    out = recast(cell([1.2]), source, "nee", land)
    assert float(out[0]) == pytest.approx(-1.2e-3 / 86_400 * 12.011 / 44.009 / 0.4)
    assert out.name == "nee"
    assert out.attrs["units"] == "kg m-2 s-1"
    assert (out.attrs["species"], out.attrs["positive"], out.attrs["area_basis"]) == ("C", "up", "land")


def test_recast_takes_moles_of_the_stated_species():
    """1 umol CO2 m-2 s-1 is 12.011e-9 kg C m-2 s-1; 1 nmol N2O m-2 h-1 holds 28.014e-12 kg N."""
    co2 = FluxVar(name="FC", species="CO2", positive="up", long_name="x", units="umol m-2 s-1")
    out = recast(cell([1.0], "umol m-2 s-1", comment="kept"), co2, "nee")
    assert float(out[0]) == pytest.approx(12.011e-9, rel=1e-12)
    assert (out.attrs["comment"], out.attrs["units"]) == ("kept", "kg m-2 s-1")
    n2o = FluxVar(name="FN2O", species="N2O", positive="up", long_name="x", units="nmol m-2 h-1")
    assert float(recast(cell([1.0], "nmol m-2 h-1"), n2o, "fn2o")[0]) == pytest.approx(28.014e-12 / 3600)


species = st.sampled_from(["C", "CO2", "CH4"])
ways = st.sampled_from(["up", "down"])
areas = st.sampled_from(["land", "cell"])


@given(species, ways, areas, st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5), st.floats(0.01, 1))
def test_recast_there_and_back(kind, way, area, values, land_share):
    source = FluxVar(name="s", species=kind, positive=way, per=area, long_name="s", units="g m-2 d-1")
    land = xr.DataArray(np.full(len(values), land_share), dims="cell")
    there = recast(cell(values), source, "nee", land)
    back = recast(there, flux_var("nee"), source, land)
    np.testing.assert_allclose(back, values, rtol=1e-12, atol=1e-12)


@given(st.lists(st.just(0.0) | st.floats(1e-6, 1), min_size=1, max_size=8))
def test_mass_is_the_same_per_land_and_per_cell(shares):
    """Sum of flux x area; where there is no land a flux per land area is undefined, not zero."""
    land = xr.DataArray(shares, dims="cell")
    per_cell = FluxVar(name="s", species="C", positive="up", per="cell", long_name="s")
    everywhere = cell(np.arange(1.0, len(shares) + 1), "kg m-2 s-1")
    flux = everywhere.where(land > 0, 0.0)
    out = recast(everywhere, per_cell, "nee", land)
    assert np.isnan(out.values[np.asarray(shares) == 0]).all()
    np.testing.assert_allclose(float((out * land).sum()), float(flux.sum()), rtol=1e-12)


def test_what_recast_refuses():
    per_cell = FluxVar(name="s", species="C", positive="up", per="cell", long_name="s", units="g m-2 d-1")
    with pytest.raises(UnitsError, match="per cell area, 'nee' per land area: give land_fraction"):
        recast(cell([1.0]), per_cell, "nee")
    with pytest.raises(UnitsError, match=r"runs 40\.\.40; expected 0\.\.1.*divide it by 100"):
        recast(cell([1.0]), per_cell, "nee", xr.DataArray([40.0], dims="cell"))
    with pytest.raises(UnitsError, match="is in %"):
        recast(cell([1.0]), per_cell, "nee", xr.DataArray([40.0], dims="cell", attrs={"units": "%"}))
    there = cell([1.0]).assign_coords(cell=[7])
    with pytest.raises(GridError, match="land_fraction does not stand on the cells of 'flux'"):
        recast(there, per_cell, "nee", xr.DataArray([0.4], dims="cell", coords={"cell": [8]}))
    with pytest.raises(UnitsError, match="says units 'mg m-2 d-1', the source description 'g m-2 d-1'"):
        recast(cell([1.0], "mg m-2 d-1"), per_cell, "nee")
    with pytest.raises(UnitsError, match="C cannot become N"):
        recast(cell([1.0]), per_cell, "fn2o")
    for attr, said in (("species", "CO2"), ("positive", "down"), ("area_basis", "land")):
        with pytest.raises(UnitsError, match=f"says {attr} '{said}', the source description"):
            recast(cell([1.0], **{attr: said}), per_cell, "nee", xr.DataArray([0.4], dims="cell"))


def test_recast_stays_lazy():
    source = FluxVar(name="s", species="CO2", positive="down", long_name="s", units="g m-2 d-1")
    lazy = cell([1.0, 2.0]).chunk(cell=1)
    out = recast(lazy, source, "nee")
    assert out.chunks is not None
    np.testing.assert_array_equal(out.compute(), recast(cell([1.0, 2.0]), source, "nee"))
