"""The sums of all tiles: every flux by region and month, its members, and the influence of sites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from talik.files import whole_file
from talik.flux.io import COMPLETE, sums_path
from talik.upscaling.cube import store
from talik.upscaling.cube.tile import Spec
from talik.upscaling.influence import Bags, by_site
from talik.upscaling.model import Model


def write_budgets(spec: Spec, results: Sequence[Path]) -> None:
    """Add up the tiles in their order, and write them beside the store."""
    held = [np.load(path) for path in results]
    sums, area = sum(h["sums"] for h in held), sum(h["area"] for h in held)
    regions = [str(name) for name in held[0]["regions"]]
    per_flux = 1 + spec.members
    out = xr.Dataset(coords={"region": regions})
    with xr.open_zarr(spec.out, consolidated=False, chunks=None) as whole:
        out = out.assign_coords(time=whole["time"].variable, time_bnds=whole["time_bnds"].variable)
        clock = {k: whole["time"].encoding[k] for k in ("units", "calendar")}
        out.attrs = {k: v for k, v in whole.attrs.items() if k != COMPLETE}
    out["area"] = ("region", area, {"units": "m2", "long_name": "area of the valid pixels in the region"})
    out["pixels"] = ((), int(sum(h["rows"][0] for h in held)), {"long_name": "valid pixels of the domain"})
    for f, (target, units) in enumerate(zip(spec.targets, spec.units, strict=True)):
        name = store.variable_of(target, units)
        unit = "kg s-1" if store.is_flux(target, units) else f"{units} m2"
        own = sums[f * per_flux : (f + 1) * per_flux]
        attrs = {"units": unit, "long_name": f"{name} summed over the valid pixels of the region"}
        out[name] = (("region", "time"), own[0].T, attrs)
        if spec.members:
            told = {"units": unit, "long_name": f"{name} of the bootstrap members"}
            out[f"{name}_members"] = (("member", "region", "time"), own[1:].transpose(0, 2, 1), told)
        if spec.influence:
            out = _with_influence(
                out, held, f, name, Model.load(spec.models[f], members=False), store.is_flux(target, units)
            )
    for name in ("time", "time_bnds"):
        out[name].encoding = {**clock, "dtype": "float64"}
    with whole_file(sums_path(spec.out)) as part:
        out.to_netcdf(part, engine="netcdf4", format="NETCDF4")


def _with_influence(
    out: xr.Dataset, held: Sequence[Any], f: int, name: str, model: Model, flux: bool
) -> xr.Dataset:
    bags = Bags.of(model)
    weights, without = sum(h[f"influence_{f}"] for h in held), sum(h[f"without_{f}"] for h in held)
    found = by_site(bags, weights, without)
    unit = "kg" if flux else "m2 s of the model's unit"
    site = f"site_{name}"
    out = out.assign_coords({site: list(found.sites)})
    total = found.contribution.sum(axis=0)
    whole = found.weight.sum(axis=0)
    share = found.weight / np.where(whole > 0, whole, np.nan)
    for suffix, values, units, words in (
        (
            "influence",
            share,
            "1",
            "share of the region's area and time that speaks with the voice of the site",
        ),
        (
            "contribution",
            found.contribution,
            unit,
            "part of the sum over the period that the site's data make",
        ),
        ("without", found.without, unit, "change of that sum without the site, trees unchanged"),
    ):
        out[f"{name}_{suffix}"] = (("region", site), values.T, {"units": units, "long_name": words})
    out[f"{name}_effective_sites"] = (
        "region",
        found.effective_sites,
        {"units": "1", "long_name": "effective number of sites, (sum W)2 / sum W2"},
    )
    out[f"{name}_jackknife_sd"] = (
        "region",
        found.jackknife_sd,
        {
            "units": unit,
            "long_name": "standard deviation of the sum by the jackknife over sites, trees unchanged",
        },
    )
    out[f"{name}_linear_total"] = (
        "region",
        total,
        {
            "units": unit,
            "long_name": "sum of W y over the training rows: the sum over the period, by another way",
        },
    )
    return out
