"""From a store of `talik upscale predict` to regional numbers, maps and files that other tools read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import InputError
from talik.files import whole_file, write_json
from talik.flux.dataset import make_flux_dataset
from talik.flux.io import COMPLETE, open_flux, open_store, sums_path, write_netcdf
from talik.flux.table import FLUXES
from talik.products.annual import annual_sums, period_mean
from talik.products.coarse import to_coarse
from talik.products.seasons import seasonal_sums
from talik.products.summary import Summary, summarise
from talik.products.zonal import Zones
from talik.records import json_rows
from talik.regions.axes import grid_of
from talik.regions.grid import LatLonGrid
from talik.regions.masks import land_fraction
from talik.regions.named import domain_weights, lazy_weights

SMALL = 1 << 29
"""Bytes of fluxes that are read at once instead of a chunk at a time."""
MOST_SITES = 10
"""Sites listed for each region, those that count most first."""


@dataclass(frozen=True, slots=True)
class Products:
    """What a store says about regions."""

    summary: Summary
    yearly: pd.DataFrame
    """Columns id ("nee domain"), t (year), y (Tg year-1), coverage: the input of `talik trends`."""
    influence: dict[str, Any]
    """By flux and region: effective number of sites, jackknife SD, and the sites that count most."""

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**self.summary.as_dict(), "yearly": json_rows(self.yearly), "influence": self.influence}


def open_sums(path: Path) -> xr.Dataset:
    """The regional sums beside a store: every flux by region and month, its members, and the influence of sites.

    Raises:
        InputError: there are none; the store is not complete.
    """
    beside = sums_path(path)
    if not beside.exists():
        raise InputError(f"{beside}: no such file. Is {path} complete?")
    return xr.open_dataset(beside, engine="netcdf4", decode_timedelta=False)


def make_products(
    path: Path,
    regions: Sequence[str] = (),
    *,
    years: tuple[int, int] | None = None,
    fire: Path | None = None,
) -> Products:
    """The numbers of Virkkala et al. 2025 for the whole domain and for named regions.

    path : store of `talik upscale predict`. regions : as in `talik.regions.named`. fire : a NetCDF flux dataset with
    ``fFire``, on any grid. Spreads over bootstrap members and the influence of sites are those that `predict` summed
    for the same regions.

    Raises:
        InputError: the store is not complete, or holds no flux.
        CoverageError: years that are not whole.
    """
    dataset = open_store(path)
    held = [v for v in FLUXES if v in dataset.data_vars]
    if not held:
        raise InputError(
            f"{path}: holds {', '.join(map(str, dataset.data_vars))}, no flux in kg m-2 s-1. Products are made of "
            "models of nee, gpp, reco or ch4 in g m-2 month-1."
        )
    if sum(dataset[v].nbytes for v in held) <= SMALL:
        dataset = dataset.load()
    grid = grid_of(dataset)
    fires = open_flux(fire) if fire is not None else None
    # the domain is the valid pixels, regions may take in more: each set of zones is summarised by itself
    valid = (dataset["coverage"].load() > 0).astype(float)
    land = dataset["land_fraction"].load().fillna(0.0) if "land_fraction" in dataset else valid
    whole = (domain_weights(grid) * valid).assign_attrs(units="1", covers="all")
    zones = [Zones(weights=whole, land_fraction=land, min_coverage=1e-9)]
    if regions:
        zones.append(Zones(weights=lazy_weights(regions, grid), land_fraction=land, min_coverage=1e-9))
    parts = [summarise(dataset, z, years=years, fire=fires) for z in zones]
    table = pd.concat([p.table for p in parts], ignore_index=True)
    notes = tuple(dict.fromkeys(note for p in parts for note in p.notes))
    summed = open_sums(path) if sums_path(path).exists() else None
    if summed is not None:
        table = _with_member_spread(table, summed, held, years)
    yearly = pd.concat([_yearly(p, years) for p in parts], ignore_index=True)
    return Products(
        Summary(table, parts[0].attrs, notes), yearly, _influence(summed, held) if summed is not None else {}
    )


def write_products(
    path: Path,
    products: Products,
    out: Path,
    *,
    years: tuple[int, int] | None = None,
    annual: bool = False,
    monthly: bool = False,
    lonlat: float | None = None,
) -> list[Path]:
    """Write numbers.csv, numbers.json, yearly.csv and maps.nc into `out`.

    annual : also annual.nc, annual and summer sums of every pixel and year, the input of `talik trends`. monthly : also
    fluxes.nc, the monthly flux dataset. lonlat : also fluxes_lonlat.nc, aggregated by area over valid land to cells of
    so many degrees, as ILAMB and CMIP tools expect.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in (("numbers.csv", products.summary.table), ("yearly.csv", products.yearly)):
        with whole_file(out / name) as part:
            table.to_csv(part, index=False, float_format="%.10g", lineterminator="\n")
        written.append(out / name)
    written.append(write_json(out / "numbers.json", products.as_dict()))
    dataset = open_store(path)
    held = [v for v in FLUXES if v in dataset.data_vars]
    with whole_file(out / "maps.nc") as part:
        maps(dataset, held, years).to_netcdf(part, engine="netcdf4", format="NETCDF4")
    written.append(out / "maps.nc")
    if annual:
        yearly = annual_maps(dataset, held, years)
        rows, columns = (yearly.sizes[str(d)] for d in dataset["coverage"].dims)
        chunks = (
            yearly.sizes["time"],
            min(256, rows),
            min(256, columns),
        )  # a trend wants all years of a pixel
        kept = {v: {"zlib": True, "complevel": 4, "chunksizes": chunks} for v in yearly if v not in ("crs",)}
        kept = {v: e for v, e in kept.items() if yearly[v].ndim == 3}
        with whole_file(out / "annual.nc") as part:
            yearly.to_netcdf(part, engine="netcdf4", format="NETCDF4", encoding=kept)
        written.append(out / "annual.nc")
    if monthly:
        written.append(write_netcdf(_plain(dataset), out / "fluxes.nc", step="upscale products"))
    if lonlat is not None:
        written.append(
            write_netcdf(on_lonlat(dataset, held, lonlat), out / "fluxes_lonlat.nc", step="upscale products")
        )
    return written


def maps(dataset: xr.Dataset, held: Sequence[str], years: tuple[int, int] | None) -> xr.Dataset:
    """Period means of annual, JJA and SepMay sums (g m-2 year-1), spread over members, and the grid."""
    out = xr.Dataset(attrs={k: v for k, v in dataset.attrs.items() if k != COMPLETE})
    for name in held:
        for label, sums in (
            ("annual", annual_sums(dataset, name)),
            ("JJA", seasonal_sums(dataset, name, "JJA")),
            ("SepMay", seasonal_sums(dataset, name, "SepMay")),
        ):
            mean = period_mean(sums, years)
            words = f"mean {label} sum of {name}, {mean.attrs['period']}"
            keep = {k: mean.attrs[k] for k in ("units", "species", "positive") if k in mean.attrs}
            out[f"{name}_{label}"] = mean.astype(np.float32).assign_attrs(
                keep, long_name=words, grid_mapping="crs"
            )
            drop = set(out[f"{name}_{label}"].attrs) - {*keep, "long_name", "grid_mapping"}
            for attr in drop:
                del out[f"{name}_{label}"].attrs[attr]
        for which in ("sd", "mean"):
            if f"{name}_member_{which}" in dataset:
                out[f"{name}_member_{which}"] = dataset[f"{name}_member_{which}"]
    for name in ("coverage", "crs", "x_bnds", "y_bnds", "lat_bnds", "lon_bnds"):
        if name in dataset.variables:
            out[name] = dataset[name]
    return out.drop_vars([n for n in out.coords if n not in out.dims and n != "crs"]).reset_coords()


def annual_maps(dataset: xr.Dataset, held: Sequence[str], years: tuple[int, int] | None) -> xr.Dataset:
    """(time, rows, columns) sums of each whole year and its summer, g m-2 year-1: ``nee`` and ``nee_JJA``."""
    out = xr.Dataset(attrs={k: v for k, v in dataset.attrs.items() if k != COMPLETE})
    for name in held:
        for label, which in ((name, "annual"), (f"{name}_JJA", "JJA")):
            sums = seasonal_sums(dataset, name, which)
            sums = sums.isel(year=np.flatnonzero(sums["complete"].values))
            sums = sums if years is None else sums.sel(year=slice(*years))
            keep = {k: sums.attrs[k] for k in ("species", "positive") if k in sums.attrs}
            values = sums.drop_vars([c for c in sums.coords if c not in sums.dims]).astype(np.float32)
            values.attrs = {
                "units": "g m-2 year-1", "long_name": f"{which} sum of {name}", "grid_mapping": "crs", **keep
            }  # fmt: skip
            out[label] = values
    years_held = out["year"].values
    stamps = [np.datetime64(f"{y:04d}-07-01", "ns") for y in years_held]
    edges = [[np.datetime64(f"{y + k:04d}-01-01", "ns") for k in (0, 1)] for y in years_held]
    out = out.rename(year="time").assign_coords(
        time=("time", stamps, {"standard_name": "time", "axis": "T", "bounds": "time_bnds"})
    )
    out["time_bnds"] = (("time", "bnds"), edges)
    for name in ("time", "time_bnds"):
        out[name].encoding = {"units": f"days since {int(years_held[0]):04d}-01-01", "dtype": "float64"}
    for name in ("crs", "x_bnds", "y_bnds", "lat_bnds", "lon_bnds"):
        if name in dataset.variables:
            out[name] = dataset[name].reset_coords(drop=True)
    return out


def on_lonlat(dataset: xr.Dataset, held: Sequence[str], step: float) -> xr.Dataset:
    """The monthly fluxes on cells of `step` degrees from about 40 N to the pole, by area, over valid land."""
    grid = LatLonGrid.regular(step, lat=(90.0 - step * math.ceil(50.0 / step), 90.0))
    land = land_fraction(grid_of(dataset))
    whole = {str(d): -1 for d in dataset["coverage"].dims}  # cells are needed together, months are not
    monthly = dataset[[*held, "coverage", "time_bnds"]].chunk({"time": 1, **whole})
    found = to_coarse(monthly, grid, land_fraction=land)
    of_store = ("crs", "cell_area", "grid_mapping", "cell_measures")
    found = found.drop_vars([n for n in of_store if n in found.variables])
    fluxes = {v: found[v].astype(np.float32) for v in held}
    for values in fluxes.values():
        values.attrs = {k: v for k, v in values.attrs.items() if k not in of_store}
    out = make_flux_dataset(
        fluxes,
        approach="upscaling",
        source=str(dataset.attrs["source"]),
        coverage=found["coverage"],
        time_bounds=dataset["time_bnds"],
        title=f"{dataset.attrs.get('title', 'fluxes')}, on {step:g} degrees",
    )
    out = out.assign(dict(grid.to_dataset().data_vars))
    out = out.reset_coords([n for n in ("crs", "cell_area") if n in out.coords])
    for name in held:
        out[name].attrs |= {"grid_mapping": "crs", "cell_measures": "area: cell_area"}
    for dim in grid.dims:
        out[dim].attrs["bounds"] = f"{dim}_bnds"
    return out


def _plain(dataset: xr.Dataset) -> xr.Dataset:
    """Without what belongs to the store: packing, chunks, completeness."""
    out = dataset.reset_coords([n for n in ("crs", "cell_area") if n in dataset.coords])
    out.attrs = {k: v for k, v in out.attrs.items() if k != COMPLETE}
    for variable in out.variables.values():
        variable.encoding = {}
    return out


def _yearly(summary: Summary, years: tuple[int, int] | None) -> pd.DataFrame:
    parts = []
    for name, series in summary.series.items():
        found = series.budgets().isel(season=0, drop=True)
        frame = found[["budget", "coverage"]].to_dataframe().reset_index()
        frame["id"] = name + " " + frame["region"].astype(str)
        frame = frame.rename(columns={"year": "t", "budget": "y"})[["id", "t", "y", "coverage"]]
        parts.append(frame.sort_values(["id", "t"], kind="stable"))
    table = pd.concat(parts, ignore_index=True)
    return table if years is None else table[table["t"].between(*years)].reset_index(drop=True)


def _with_member_spread(
    table: pd.DataFrame, summed: xr.Dataset, held: Sequence[str], years: tuple[int, int] | None
) -> pd.DataFrame:
    """sd_member of annual budgets and mean fluxes from the members' sums (standard deviation with n-1)."""
    seconds = summed["time_bnds"].diff("bnds").isel(bnds=0) / np.timedelta64(1, "s")
    table = table.copy()
    for name in held:
        if f"{name}_members" not in summed or summed.sizes["member"] < 2:
            continue
        mass = (summed[f"{name}_members"] * seconds * 1e-9).groupby("time.year").sum()
        chosen = mass if years is None else mass.sel(year=slice(*years))
        sd = chosen.mean("year").std("member", ddof=1)
        for region in summed["region"].values:
            area = float(summed["area"].sel(region=region))
            for quantity, scale in (("budget", 1.0), ("mean_flux", 1e12 / area if area else np.nan)):
                row = (table["quantity"] == quantity) & (table["variable"] == name)
                row &= (table["region"] == region) & (table["season"] == "annual")
                table.loc[row, "sd_member"] = float(sd.sel(region=region)) * scale
    return table


def _influence(summed: xr.Dataset, held: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in held:
        if f"{name}_influence" not in summed:
            continue
        site, seconds = f"site_{name}", summed["time_bnds"].diff("bnds").isel(bnds=0) / np.timedelta64(1, "s")
        years = float(seconds.sum()) / (365.2425 * 86400)
        found[name] = {}
        for region in map(str, summed["region"].values):
            share = summed[f"{name}_influence"].sel(region=region)
            if not np.isfinite(share).all():
                continue
            first = np.argsort(-share.values, kind="stable")[:MOST_SITES]
            part = summed[f"{name}_contribution"].sel(region=region).values * 1e-9 / years
            without = summed[f"{name}_without"].sel(region=region).values * 1e-9 / years
            found[name][region] = {
                "effective_sites": float(summed[f"{name}_effective_sites"].sel(region=region)),
                "jackknife_sd_tg_per_year": float(summed[f"{name}_jackknife_sd"].sel(region=region))
                * 1e-9
                / years,
                "sites": [
                    {
                        "site": str(summed[site].values[k]),
                        "share": float(share.values[k]),
                        "contribution_tg_per_year": float(part[k]),
                        "change_without_tg_per_year": float(without[k]),
                    }
                    for k in first
                ],
            }
    return found
