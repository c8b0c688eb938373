"""The monthly flux dataset of all pieces of a prediction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from talik.flux.dataset import make_flux_dataset
from talik.regions.grid import Grid
from talik.upscaling.cube import store
from talik.upscaling.cube.blocks import CubeFiles, Domain, MembersPart, YearsPart
from talik.upscaling.model import Model
from talik.upscaling.trees import Float64


def joined_years(parts: Sequence[Path]) -> YearsPart:
    """Pieces of consecutive years as one."""
    held = [YearsPart.load(path) for path in parts]
    inside = np.stack([h.inside for h in held])
    known = (inside >= 0).all(axis=0)
    return YearsPart(
        np.concatenate([h.months for h in held]),
        np.concatenate([h.seconds for h in held]),
        np.concatenate([h.fluxes for h in held], axis=1),
        np.concatenate([h.sums for h in held], axis=1),
        np.where(known, inside.sum(axis=0), -1),
    )


def joined_members(parts: Sequence[Path]) -> MembersPart | None:
    """Pieces of members as one; None without any."""
    held = [MembersPart.load(path) for path in parts]
    if not held:
        return None
    return MembersPart(np.concatenate([h.sums for h in held]), np.concatenate([h.mean for h in held]))


def flux_dataset(
    files: CubeFiles,
    models: Mapping[str, Path],
    domain: Domain,
    years: YearsPart,
    members: Mapping[str, MembersPart],
    *,
    title: str,
) -> xr.Dataset:
    """Best estimates as a flux dataset; with the spread of members and the share of months inside the area of
    applicability beside each flux, the land share where it was given, and coverage 1 where there are fluxes.
    """
    heads = {flux: Model.load(path, members=False) for flux, path in models.items()}
    cube = files.open(next(iter(heads.values())).schema.features)
    grid, dims = cube.grid, cube.grid.dims
    middle, bounds, _ = store.time_axis(cube)
    time = xr.DataArray(middle, dims="time", name="time")
    coords = {**grid.coords(), "time": time}
    fluxes = {}
    for f, (flux, head) in enumerate(heads.items()):
        name = store.variable_of(flux, head.schema.units)
        values = domain.on_grid(years.fluxes[f], grid)
        fluxes[name] = xr.DataArray(
            values, dims=("time", *dims), coords=coords, attrs={"units": "kg m-2 s-1"}
        )
    found = domain.on_grid(np.ones(len(domain.rows)), grid)
    out = make_flux_dataset(
        fluxes,
        approach="upscaling",
        source="talik upscaling: " + ", ".join(f"{t} by {h.learner.name}" for t, h in heads.items()),
        coverage=xr.DataArray(np.nan_to_num(found), dims=dims, coords=grid.coords()),
        time_bounds=xr.DataArray(bounds, dims=("time", "bnds"), coords={"time": time}),
        title=title,
        inputs={f"model {flux}": path for flux, path in models.items()},
    )
    out = out.assign(dict(grid.to_dataset().data_vars))
    out = out.reset_coords([n for n in ("crs", "cell_area") if n in out.coords])
    for f, (flux, head) in enumerate(heads.items()):
        name = store.variable_of(flux, head.schema.units)
        out[name].attrs |= {"grid_mapping": "crs", "cell_measures": "area: cell_area"}
        if flux in members:
            words = f"standard deviation over bootstrap members of the mean {out[name].attrs['long_name']}"
            sd = members[flux].mean.std(axis=0, ddof=1)
            out[f"{name}_member_sd"] = _plane(
                sd, domain, cube.grid, {"units": "kg m-2 s-1", "long_name": words}
            )
        if (years.inside[f] >= 0).all():
            share = years.inside[f] / len(years.months)
            words = f"share of months in which the cell is like the sites that {name} was learnt from"
            out[f"{name}_applicability"] = _plane(
                share, domain, cube.grid, {"units": "1", "long_name": words}
            )
    if files.land is not None:
        told = {"units": "1", "standard_name": "land_area_fraction"}
        out["land_fraction"] = _plane(domain.land, domain, cube.grid, told)
    for dim in dims:
        out[dim].attrs["bounds"] = f"{dim}_bnds"
    return out.assign_attrs(talik_members=json.dumps({f: len(m.mean) for f, m in members.items()}))


def _plane(values: Float64, domain: Domain, grid: Grid, attrs: Mapping[str, str]) -> xr.DataArray:
    return xr.DataArray(
        domain.on_grid(values.astype(np.float32), grid),
        dims=grid.dims,
        coords=grid.coords(),
        attrs={**attrs, "grid_mapping": "crs"},
    )
