"""The land-cover inventory cell by cell, as a flux dataset."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from talik.flux import make_flux_dataset
from talik.inventory.classes import LAND, Rockland, inventory_class
from talik.inventory.density_fluxes import GRAMS_PER_KG, SECONDS_PER_DAY, VARIABLES
from talik.inventory.season import YEAR_DAYS

SOURCE = "class densities of the inventory on land cover of BAWLD (Olefeldt et al. 2021)"


def land_fluxes(
    cover: xr.Dataset, densities: Mapping[str, Mapping[str, float]], rockland: Rockland = "exclude"
) -> xr.Dataset:
    """nee, fch4 and fn2o (cell) of the land-cover classes, kg m-2 s-1 of the element per area of the cell, up.

    cover : from `talik.sources.bawld.read_bawld`. densities : by gas and class, g m-2 yr-1 of the element. Waters,
    glaciers and rockland emit nothing here; `coverage` is the share of the cell that is one of the classes. Beside them
    stands `cell_area`; fluxes times it add up to the inventory's means.
    """
    land = [inventory_class(str(code), rockland) for code in cover["cover"].to_numpy()]
    shares = {
        name: cover["fraction"].isel(cover=[i for i, found in enumerate(land) if found == name]).sum("cover")
        for name in LAND
    }
    per_second = 1.0 / (GRAMS_PER_KG * SECONDS_PER_DAY * YEAR_DAYS)
    fluxes = {
        VARIABLES[gas]: xr.DataArray(
            sum(of[name] * per_second * shares[name] for name in LAND), attrs={"units": "kg m-2 s-1"}
        )
        for gas, of in densities.items()
    }
    covered = xr.DataArray(sum(shares.values())).clip(0.0, 1.0)
    ds = make_flux_dataset(fluxes, approach="inventory", source=SOURCE, coverage=covered)
    return ds.assign_coords(cell_area=("cell", cover["cell_area"].to_numpy(), {"units": "m2"}))
