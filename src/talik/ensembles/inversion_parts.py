"""Parts of an inversion: natural fluxes where a system gives totals only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr

from talik.ensembles.inversion_months import per_cell
from talik.errors import ConfigError, CoverageError, FluxError, GridError
from talik.flux.convert import recast
from talik.flux.table import FLUXES, FluxVar, flux_var
from talik.regions.axes import conform, grid_of
from talik.regions.grid import Grid
from talik.regions.regridding import regrid

NATURAL = "human_emissions_removed"
"""Attribute that names the human emissions that were taken out of a dataset."""
Method = Literal["share", "difference"]


def natural_flux(
    ds: xr.Dataset, human: Sequence[xr.Dataset], variable: str = "fch4", *, method: Method = "share"
) -> xr.Dataset:
    """An inversion without human emissions, from its total and the prior of human emissions.

    ds : inversion with `variable` and, for ``share``, `<variable>_prior`. human : flux datasets of prior emissions,
        one a source, added up (`talik.sources.emission_grids`); monthly, or one year after another. They are brought to
        the grid of the inversion by area. Months are matched by calendar; a month without prior is an error.
    method : ``share`` keeps the share of the cell's prior total that is not human: total x (1 - human / prior total),
        as totals of the Global Methane Budget are divided (Saunois et al. 2020, ESSD 12, 1561). The share lies in 0..1.
        It cannot be formed where the prior total is not positive although people emit: no data there. ``difference`` :
        total - human.

    The dataset with `variable` replaced (the prior is dropped) and attribute `human_emissions_removed`; lazy.
    FluxError: removed already, or no such variable. CoverageError: months or cells of land without prior.
    """
    if NATURAL in ds.attrs:
        raise FluxError(
            f"human emissions were removed already ({ds.attrs[NATURAL]}); removing them twice is a bias."
        )
    needed = [variable, "land_fraction", *([f"{variable}_prior"] if method == "share" else [])]
    if lacking := [n for n in needed if n not in ds.variables]:
        raise FluxError(
            f"expected {', '.join(needed)}; {', '.join(lacking)} missing. Without a prior total use "
            "method='difference'."
        )
    if method not in ("share", "difference") or not human:
        raise ConfigError(
            f"expected method 'share' or 'difference' and some human emissions; found {method!r}."
        )
    grid = grid_of(ds)
    land = conform(ds["land_fraction"], grid).fillna(0.0)
    total = per_cell(conform(ds[variable], grid), variable, land)
    people = sum(
        (_emitted(one, variable, grid, ds) for one in human[1:]), _emitted(human[0], variable, grid, ds)
    )
    if bool((people.isnull() & (land > 0.0)).any()):
        raise CoverageError(
            f"{variable}: cells of land without human emissions in {', '.join(_name(h) for h in human)}. Write 0 where "
            "nobody emits; no data is not 0."
        )
    if method == "difference":
        left = total - people
    else:
        prior = per_cell(conform(ds[f"{variable}_prior"], grid), variable, land)
        share = xr.where(prior > 0.0, people / prior.where(prior > 0.0), np.nan).clip(0.0, 1.0)  # type: ignore[no-untyped-call]
        share = share.where(people != 0.0, 0.0)
        left = total * (1.0 - share)
    var = flux_var(variable)
    cell = FluxVar(
        name=variable, species=var.species, positive=var.positive, per="cell", long_name=var.long_name
    )
    natural = recast(left.drop_attrs().assign_attrs(units="kg m-2 s-1"), cell, var, land)
    out = ds.drop_vars(f"{variable}_prior", errors="ignore")
    out[variable] = natural.transpose(*ds[variable].dims).variable
    source = "; ".join(dict.fromkeys(_name(h) for h in human))
    return out.assign_attrs({NATURAL: f"{source} ({method})"})


def _emitted(human: xr.Dataset, variable: str, grid: Grid, like: xr.Dataset) -> xr.DataArray:
    """Human emissions per area of the cell on the grid and months of an inversion, in the table's species."""
    held = [n for n in FLUXES if n in human.data_vars]
    if len(held) != 1:
        raise FluxError(
            f"{_name(human)}: expected one flux of human emissions; found {', '.join(held) or 'none'}."
        )
    var = flux_var(held[0])
    if var.per != "cell" or var.species != flux_var(variable).species:
        raise FluxError(
            f"{_name(human)}: {held[0]} is {var.species} per {var.per} area; expected {flux_var(variable).species} per "
            "cell, such as fAnthropogenicCh4."
        )
    field = human[held[0]]
    src = grid_of(field)
    moved = conform(field, grid) if src == grid else regrid(field, grid, src=src)[held[0]]
    label = str(human["time"].attrs.get("bounds", "time_bnds"))
    if label not in human.variables:
        raise FluxError(f"{_name(human)}: no time bounds. Make it with talik.flux.make_flux_dataset.")
    edges = [_months_of(d[label]) for d in (human, like) if label in d.variables]
    if len(edges) < 2:
        raise GridError(f"{_name(human)}: the inversion has no time bounds {label!r}.")
    serial = {}
    for at, (start, end) in enumerate(edges[0]):
        serial.update(dict.fromkeys(range(start, end), at))
    wanted = [start for start, _ in edges[1]]
    lacking = [m for m in wanted if m not in serial]
    if lacking:
        raise CoverageError(
            f"{_name(human)}: no emissions for {len(lacking)} of {len(wanted)} months, first {lacking[0] // 12}-"
            f"{lacking[0] % 12 + 1:02d}. Select the months that both have."
        )
    return moved.isel(time=[serial[m] for m in wanted]).assign_coords(time=like["time"])


def _months_of(bounds: xr.DataArray) -> list[tuple[int, int]]:
    """First month and the month after the last of each step, as 12 x year + month - 1."""
    edges = bounds.transpose("time", ...)
    parts = []
    for k in range(2):
        at = xr.DataArray(edges.values[:, k], dims="time").dt
        parts.append((12 * at.year + at.month - 1).values.tolist())
    return list(zip(*parts, strict=True))


def _name(ds: xr.Dataset) -> str:
    return str(ds.attrs.get("source", "human emissions"))
