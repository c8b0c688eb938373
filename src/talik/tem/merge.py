"""The files of a whole run from the files of its blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from talik.flux.dataset import CONVENTIONS, make_flux_dataset
from talik.flux.io import write_netcdf
from talik.provenance import stamp
from talik.regions.scattered import on_axes
from talik.sources.climate_months import month_number, month_stamps
from talik.tem.model import CLOSURES
from talik.tem.output import ANNUAL, FLUX_NAMES, LAND, Variable

SOURCE = "Terrestrial Ecosystem Model of talik (TEM 4.3 with an enthalpy soil column)"
STEP = "tem"


def write_fluxes(parts: Sequence[Path], out: Path, *, title: str, key: str, grid: bool) -> None:
    """The monthly carbon fluxes as a flux dataset of approach ``process``; key : of the run's settings."""
    with _whole(parts, FLUX_NAMES, grid) as ds:
        coverage = ds["gpp"].isel(time=0, drop=True).notnull().astype(float)
        fluxes = make_flux_dataset(
            {name: ds[name] for name in FLUX_NAMES},
            approach="process",
            source=SOURCE,
            coverage=coverage,
            time_bounds=ds["time_bnds"],
            title=title,
        )
        fluxes = fluxes.assign_attrs(talik_inputs=ds.attrs["talik_inputs"])
        write_netcdf(fluxes.load(), out, step=STEP, config_key=key)


def write_land(parts: Sequence[Path], out: Path, *, title: str, key: str, grid: bool) -> None:
    """Monthly pools, water, soil temperature and thaw depth."""
    with _whole(parts, _held(parts, LAND), grid) as ds:
        _write(ds.set_coords("time_bnds"), out, LAND, title, key)


def write_annual(parts: Sequence[Path], out: Path, *, title: str, key: str, grid: bool) -> None:
    """Annual active-layer thickness and taliks."""
    with _whole(parts, _held(parts, ANNUAL), grid) as ds:
        _write(ds, out, ANNUAL, title, key)


def write_restart(
    parts: Sequence[Path], out: Path, *, title: str, key: str, group: str | None = "restart"
) -> None:
    """The state at the end of the run, from which another can go on; group : where the parts hold it."""
    with ExitStack() as opened:
        states = [opened.enter_context(xr.open_dataset(p, engine="netcdf4", group=group)) for p in parts]
        told = {} if group else {"audit": json.dumps(spin_audit(parts))}
        joined = xr.concat(states, dim="column", data_vars="all", combine_attrs="drop_conflicts")
        joined = joined.drop_encoding()  # the first block's width of text would cut the others' names
        joined = joined.assign_attrs(
            title=title, source=SOURCE, talik_inputs=_recorded_inputs(parts[0]), **told
        )
        stamp(joined, STEP, key).to_netcdf(out, engine="netcdf4")


def audit(parts: Sequence[Path]) -> dict[str, Any]:
    """Worst closure of all cells and years, how the spin-up ended, and the readers' notes."""
    told = _told(parts)
    out: dict[str, Any] = {
        "columns": sum(t["columns"] for t in told),
        "years": told[0]["years"],
        "closure": {name: max(t["closure"][name] for t in told) for name in CLOSURES},
        "notes": list(dict.fromkeys(note for t in told for note in t["notes"])),
    }
    return out | _spun(told)


def spin_audit(parts: Sequence[Path]) -> dict[str, Any]:
    """How the spin-up of all cells ended."""
    told = _told(parts)
    return {"columns": sum(t["columns"] for t in told), **_spun(told)}


def _told(parts: Sequence[Path]) -> list[dict[str, Any]]:
    told = []
    for path in parts:
        with xr.open_dataset(path, engine="netcdf4") as ds:
            told.append(json.loads(ds.attrs["audit"]))
    return told


def _spun(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    spun = [t["spin_up"] for t in told if "spin_up" in t]
    if not spun:
        return {}
    counted = {key: [s[key] for s in spun] for key in spun[0]}
    fell_back = [place for places in counted.pop("fell_back") for place in places]
    totals = {k: (sum if k.endswith("still") else max)(of) for k, of in counted.items()}
    return {"spin_up": {**totals, "fell_back": fell_back}}


@contextmanager
def _whole(parts: Sequence[Path], names: Sequence[str], grid: bool) -> Iterator[xr.Dataset]:
    """Some variables of all blocks, read as they are used, on a lat-lon grid if `grid` and the cells lie on one."""
    with ExitStack() as opened:
        pieces = [opened.enter_context(xr.open_dataset(p, engine="netcdf4", chunks={})) for p in parts]
        area = ["cell_area"] if "cell_area" in pieces[0] else []
        held = xr.concat([p[[*names, *area]] for p in pieces], dim="cell", data_vars="minimal")
        # the rest of the attributes is told of one block
        ds = held.drop_attrs(deep=False).assign_attrs(talik_inputs=pieces[0].attrs["talik_inputs"])
        yield _placed(_dated(ds), grid)


def _held(parts: Sequence[Path], table: Mapping[str, Variable]) -> list[str]:
    """Those variables of a table that the run made."""
    with xr.open_dataset(parts[0], engine="netcdf4") as ds:
        return [name for name in table if name in ds]


def _recorded_inputs(part: Path) -> str:
    with xr.open_dataset(part, engine="netcdf4") as ds:
        return str(ds.attrs["talik_inputs"])


def _dated(ds: xr.Dataset) -> xr.Dataset:
    """With bounds of the months, if there are months."""
    if "time" not in ds.dims:
        return ds
    months = month_number(int(ds["time"].dt.year[0]), 1) + np.arange(ds.sizes["time"])
    bounds = xr.DataArray(
        np.stack([month_stamps(months), month_stamps(months + 1)], axis=1), dims=("time", "bnds")
    )
    ds = ds.assign(time_bnds=bounds)
    ds["time"].attrs.update(standard_name="time", axis="T", bounds="time_bnds")
    return ds


def _placed(ds: xr.Dataset, grid: bool) -> xr.Dataset:
    """On axes lat and lon where the cells are points of an even grid; else (cell,) with their positions."""
    ds["lat"].attrs.update(standard_name="latitude", units="degrees_north")
    ds["lon"].attrs.update(standard_name="longitude", units="degrees_east")
    if "depth" in ds.coords:
        ds["depth"].attrs.update(standard_name="depth", units="m", positive="down", axis="Z")
    return on_axes(ds) if grid else ds


def _write(ds: xr.Dataset, out: Path, table: Mapping[str, Variable], title: str, key: str) -> None:
    """One variable after the other: Dask would write them in any order, and the bytes would differ."""
    ds = stamp(ds.assign_attrs(Conventions=CONVENTIONS, title=title, source=SOURCE), STEP, key)
    names = [name for name in table if name in ds]
    ds.drop_vars(names).load().to_netcdf(out, engine="netcdf4")
    for name in names:
        encoding = {"zlib": True, "complevel": 4, "dtype": "float32", "_FillValue": np.float32(1e20)}
        ds[[name]].load().to_netcdf(out, engine="netcdf4", mode="a", encoding={name: encoding})
