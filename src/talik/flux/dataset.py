"""The flux dataset: what every approach hands over, how to make one, and one call that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import FluxError
from talik.flux.convert import describe_variable
from talik.flux.table import APPROACHES, FLUXES, FluxVar
from talik.flux.units import names_species
from talik.provenance import stamp

DIMENSIONS = (
    "member",
    "model",
    "quantile",
    "time",
    "depth",
    "y",
    "x",
    "lat",
    "lon",
    "cell",
    "region",
    "site",
)
CONVENTIONS = "CF-1.12"
_SPACE = (("y", "x"), ("lat", "lon"), ("cell",), ("region",), ("site",))
_LIMITS = {"lat": (-90.0, 90.0), "lon": (-180.0, 360.0), "quantile": (0.0, 1.0)}
_COORDINATE_ATTRS = {
    "time": {"standard_name": "time", "axis": "T"},
    "lat": {"standard_name": "latitude", "units": "degrees_north"},
    "lon": {"standard_name": "longitude", "units": "degrees_east"},
    "x": {"standard_name": "projection_x_coordinate", "units": "m", "axis": "X"},
    "y": {"standard_name": "projection_y_coordinate", "units": "m", "axis": "Y"},
    "depth": {"standard_name": "depth", "units": "m", "positive": "down", "axis": "Z"},
    "quantile": {"long_name": "quantile", "units": "1"},
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: which variable or attribute (`where`), what, and what to do."""

    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.fix}"


def make_flux_dataset(
    variables: Mapping[str, xr.DataArray],
    *,
    approach: str,
    source: str,
    coverage: xr.DataArray | float,
    time_bounds: xr.DataArray | None = None,
    title: str = "",
    config_key: str = "",
    inputs: Mapping[str, Path] | None = None,
) -> xr.Dataset:
    """A validated flux dataset from variables that already are in the table's units, species and direction.

    variables : table name to array, on the same coordinates (see `recast` for getting there). approach : one of
    `talik.flux.table.APPROACHES`. source : the product, in words. coverage : share of area and time that had data,
    0..1, a number or an array over any of the dimensions. time_bounds : (time, bnds) start and end of each step;
    monthly and annual steps need none, theirs follow from the calendar. config_key, inputs : recorded as provenance.

    FluxError with every problem if the result is no flux dataset. Lazy input stays lazy.
    """
    unknown = sorted(set(variables) - set(FLUXES))
    if unknown:
        raise FluxError(
            f"{', '.join(map(repr, unknown))} is not a flux variable; known are: {', '.join(FLUXES)}."
        )
    share = coverage if isinstance(coverage, xr.DataArray) else xr.DataArray(float(coverage))
    arrays = {name: _declared(da, FLUXES[name]) for name, da in variables.items()}
    arrays["coverage"] = share.assign_attrs(
        units="1", long_name="share of area and time that had data", cell_methods="area: mean time: mean"
    )
    if time_bounds is not None:
        arrays["time_bnds"] = time_bounds.drop_attrs().rename("time_bnds")
    try:
        xr.align(*arrays.values(), join="exact", copy=False)
        ds = xr.Dataset(arrays)
    except ValueError as err:
        raise FluxError(
            f"variables {', '.join(arrays)} do not stand on the same coordinates ({err}). Regrid or select first."
        ) from err
    for name, attrs in _COORDINATE_ATTRS.items():
        if name in ds.coords:
            ds = ds.assign_coords({name: ds[name].assign_attrs({**attrs, **ds[name].attrs})})
    if "time" in ds.dims:
        ds = _with_time_bounds(ds)
    ds = ds.assign_attrs(approach=approach, source=source, Conventions=CONVENTIONS)
    if title:
        ds.attrs["title"] = title
    ds = stamp(ds, f"make {approach} fluxes", config_key, inputs)
    validate(ds)
    return ds


def validate(ds: xr.Dataset) -> None:
    """Raise FluxError that lists every problem of `ds` as a flux dataset, or return None.

    Reads coordinates and, unless it is a dask array, ``coverage``; never the fluxes.
    """
    found = problems(ds)
    if found:
        lines = "\n".join(f"  - {p}" for p in found)
        raise FluxError(f"not a flux dataset, {len(found)} problem{'s' * (len(found) > 1)}:\n{lines}")


def problems(ds: xr.Dataset) -> list[Problem]:
    """Everything that keeps `ds` from being a flux dataset, in reading order."""
    out = _attribute_problems(ds)
    names = [str(n) for n in ds.data_vars if n in FLUXES]
    if not names:
        out.append(
            Problem("dataset", "holds no flux variable", f"Name them as in the table: {', '.join(FLUXES)}.")
        )
    for name in names:
        out += _variable_problems(ds[name], FLUXES[name])
    for dim in map(str, ds.dims):
        if dim not in DIMENSIONS and dim not in ("bnds", "bounds"):
            out.append(
                Problem(f"dimension {dim}", "is unknown", f"Rename it to one of: {', '.join(DIMENSIONS)}.")
            )
    out += _coordinate_problems(ds)
    out += _time_problems(ds)
    out += _coverage_problems(ds)
    return out


def _declared(da: xr.DataArray, var: FluxVar) -> xr.DataArray:
    """`da` with the table's attributes where it says nothing else; what is missing or contradicts, validate names.

    Units are never filled in.
    """
    said = {k: da.attrs[k] for k in ("species", "positive", "area_basis") if k in da.attrs}
    return describe_variable(da, var).assign_attrs(said, units=da.attrs.get("units", ""))


def _attribute_problems(ds: xr.Dataset) -> list[Problem]:
    out = []
    approach = ds.attrs.get("approach")
    if approach not in APPROACHES:
        out.append(
            Problem("attribute approach", f"is {approach!r}", f"Set it to one of: {', '.join(APPROACHES)}.")
        )
    if not str(ds.attrs.get("source", "")).strip():
        out.append(Problem("attribute source", "is missing", "Say in words which product or model this is."))
    if not str(ds.attrs.get("history", "")).strip():
        out.append(
            Problem("attribute history", "is missing", "Say what made the data: talik.provenance.stamp().")
        )
    return out


def _variable_problems(da: xr.DataArray, var: FluxVar) -> list[Problem]:
    out = []
    wanted = {"units": var.units, "species": var.species, "positive": var.positive, "area_basis": var.per}
    meaning = {
        "units": "convert with talik.flux.recast",
        "species": "state which mass is counted",
        "positive": "state which direction is positive",
        "area_basis": "state the area of the density",
    }
    for attr, value in wanted.items():
        have = da.attrs.get(attr)
        if have is None or have == "":
            out.append(
                Problem(var.name, f"{attr} is missing; expected {value!r}", f"Set it: {meaning[attr]}.")
            )
        elif attr == "units" and names_species(str(have)):
            out.append(
                Problem(
                    var.name,
                    f"units {have!r} name a species; expected {value!r}",
                    "Write the unit alone, say the species in attrs['species'], convert with talik.flux.recast.",
                )
            )
        elif have != value:
            out.append(
                Problem(
                    var.name,
                    f"{attr} is {have!r}; the table stores {value!r}",
                    "Convert with talik.flux.recast.",
                )
            )
    if not np.issubdtype(da.dtype, np.floating):
        out.append(
            Problem(
                var.name, f"has dtype {da.dtype}", "Store floating-point numbers; NaN marks missing data."
            )
        )
    families = [family for family in _SPACE if set(family) & set(map(str, da.dims))]
    if len(families) > 1:
        out.append(
            Problem(
                var.name,
                f"has dimensions of {len(families)} kinds of place: {', '.join(map(str, da.dims))}",
                "Keep one of: y and x, lat and lon, cell, region, site.",
            )
        )
    name = da.attrs.get("standard_name")
    if name != var.standard_name:
        out.append(
            Problem(
                var.name,
                f"standard_name is {name!r}; the table has {var.standard_name!r}",
                "Take the table's.",
            )
        )
    return out


def _coordinate_problems(ds: xr.Dataset) -> list[Problem]:
    out = []
    for name, (low, high) in _LIMITS.items():
        if name not in ds.coords or ds[name].size == 0:
            continue
        first, last = float(ds[name].min()), float(ds[name].max())
        if not (low <= first and last <= high):
            out.append(
                Problem(
                    f"coordinate {name}", f"runs {first:g}..{last:g}", f"Expected within {low:g}..{high:g}."
                )
            )
    for name in ("time", "lat", "lon", "x", "y", "depth", "quantile"):
        if name in ds.indexes and ds.indexes[name].has_duplicates:
            twice = ds.indexes[name][ds.indexes[name].duplicated()][0]
            out.append(
                Problem(f"coordinate {name}", f"holds {twice} twice", "Average or drop the duplicates.")
            )
    return out


def _time_problems(ds: xr.Dataset) -> list[Problem]:
    if "time" not in ds.dims:
        return []
    if "time" not in ds.indexes:
        return [
            Problem("coordinate time", "is missing", "Add dates: a flux without its time cannot be added up.")
        ]
    if ds["time"].dtype.kind not in "MO":
        return [
            Problem(
                "coordinate time",
                f"holds no dates (dtype {ds['time'].dtype})",
                "Decode it: xarray.open_dataset(decode_times=True).",
            )
        ]
    out = []
    if not ds.indexes["time"].is_monotonic_increasing:
        out.append(Problem("coordinate time", "is not in order", "Sort it: ds.sortby('time')."))
    bounds = ds["time"].attrs.get("bounds")
    if not bounds or bounds not in ds.variables:
        out.append(
            Problem(
                "coordinate time",
                "has no bounds",
                "Give time_bounds to make_flux_dataset, or add time_bnds (time, bnds) and attrs['bounds'] of time.",
            )
        )
    elif ds[bounds].shape != (ds.sizes["time"], 2):
        out.append(Problem(bounds, f"has shape {ds[bounds].shape}", "Expected (time, 2)."))
    elif ds[bounds].dtype.kind != ds["time"].dtype.kind:
        out.append(
            Problem(
                bounds, f"has dtype {ds[bounds].dtype}", f"Expected dates like time ({ds['time'].dtype})."
            )
        )
    elif not out:
        out += _bounds_problems(bounds, ds["time"].values, ds[bounds].values)
    return out


def _bounds_problems(name: str, time: npt.NDArray[Any], bounds: npt.NDArray[Any]) -> list[Problem]:
    start, end = bounds[:, 0], bounds[:, 1]
    checks = (
        (start >= end, "ends before it starts", "Each row is (start, end)."),
        ((time < start) | (time > end), "does not hold its time stamp", "Correct the bounds or the stamps."),
        (
            np.append(False, start[1:] < end[:-1]),
            "starts before the step before it ends",
            "Overlapping steps would be counted twice; correct the bounds.",
        ),
    )
    for wrong, what, fix in checks:
        if wrong.any():
            at = int(np.argmax(wrong))
            return [Problem(name, f"step {at} ({start[at]}..{end[at]}, stamp {time[at]}) {what}", fix)]
    return []


def _coverage_problems(ds: xr.Dataset) -> list[Problem]:
    if "coverage" not in ds:
        return [Problem("coverage", "is missing", "Add the share of area and time that had data (0..1).")]
    share = ds["coverage"]
    extra = set(share.dims) - set(ds.dims)
    out = []
    if share.attrs.get("units") != "1":
        out.append(
            Problem("coverage", f"units are {share.attrs.get('units')!r}", "Expected '1' (a share, 0..1).")
        )
    if extra:
        out.append(
            Problem("coverage", f"has dimensions {sorted(map(str, extra))}", "Use dimensions of the fluxes.")
        )
    lazy = share.chunks is not None
    if share.size and not lazy and not bool(((share >= 0) & (share <= 1 + 1e-9)).all()):
        out.append(
            Problem(
                "coverage", f"runs {float(share.min()):g}..{float(share.max()):g}", "Expected 0..1, no NaN."
            )
        )
    return out


def _with_time_bounds(ds: xr.Dataset) -> xr.Dataset:
    if "time" not in ds.indexes or ds["time"].dtype.kind not in "MO":
        return ds  # validate() says what is missing
    if "time_bnds" not in ds:
        bounds = calendar_bounds(ds["time"])
        if bounds is None:
            return ds
        ds["time_bnds"] = bounds
    return ds.set_coords("time_bnds").assign_coords(time=ds["time"].assign_attrs(bounds="time_bnds"))


def calendar_bounds(time: xr.DataArray) -> xr.DataArray | None:
    """(time, bnds) edges of the calendar months or years the stamps lie in; None if the step is neither.

    Steps count as monthly if each month from first to last stands once, as annual if each year does.
    """
    if time.size < 2:
        return None
    years, months = time.dt.year.values, time.dt.month.values
    serial = years * 12 + months - 1
    if np.all(np.diff(serial) == 1):
        starts, step = serial, 1
    elif np.all(np.diff(years) == 1):
        starts, step = years * 12, 12
    else:
        return None
    edges = [[first_of_month(time, int(s)), first_of_month(time, int(s) + step)] for s in starts]
    return xr.DataArray(np.array(edges), dims=("time", "bnds"), coords={"time": time}, name="time_bnds")


def first_of_month(time: xr.DataArray, serial: int) -> object:
    """The first moment of month `serial` (12 x year + month - 1) as a date of the kind and calendar of `time`."""
    year, month = divmod(serial, 12)
    first = time.to_index()[0]
    if np.issubdtype(time.dtype, np.datetime64):
        return np.datetime64(f"{year:04d}-{month + 1:02d}-01").astype(time.dtype)
    return type(first)(year, month + 1, 1, calendar=first.calendar)
