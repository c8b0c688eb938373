"""The flux dataset: what every approach hands over, how to make one, and one call that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from talik.errors import FluxError
from talik.flux.convert import describe_variable
from talik.flux.table import APPROACHES, FLUXES, FluxVar

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
_LIMITS = {"lat": (-90.0, 90.0), "lon": (-180.0, 360.0), "quantile": (0.0, 1.0)}


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
    title: str = "",
) -> xr.Dataset:
    """A validated flux dataset from variables that already are in the table's units, species and direction.

    variables : table name to array (see `recast` for getting there). coverage : share of area and time that had
    data, 0..1, a number or an array over any of the dimensions. source : the product, in words. Time bounds are
    taken from a `time_bnds` coordinate of any variable, else from the calendar for monthly or annual steps.
    """
    ds = xr.Dataset()
    for name, da in variables.items():
        if name not in FLUXES:
            raise FluxError(f"{name!r} is not a flux variable; known are: {', '.join(FLUXES)}.")
        ds[name] = _declared(da, FLUXES[name])
    share = coverage if isinstance(coverage, xr.DataArray) else xr.DataArray(float(coverage))
    ds["coverage"] = share.assign_attrs(
        units="1", long_name="share of area and time that had data", cell_methods="area: mean time: mean"
    )
    if "time" in ds.dims:
        ds = _with_time_bounds(ds)
    ds.attrs.update(approach=approach, source=source, Conventions=CONVENTIONS)
    if title:
        ds.attrs["title"] = title
    validate(ds)
    return ds


def validate(ds: xr.Dataset) -> None:
    """Raise FluxError with every problem of `ds` as a flux dataset, or return None. Nothing large is computed."""
    found = problems(ds)
    if found:
        lines = "\n".join(f"  - {p}" for p in found)
        raise FluxError(f"not a flux dataset, {len(found)} problem{'s' * (len(found) > 1)}:\n{lines}")


def problems(ds: xr.Dataset) -> list[Problem]:
    """Everything that keeps `ds` from being a flux dataset, in reading order."""
    out = [*_attribute_problems(ds)]
    names = [str(n) for n in ds.data_vars if n in FLUXES]
    if not names:
        out.append(
            Problem("dataset", "holds no flux variable", f"Name them as in the table: {', '.join(FLUXES)}.")
        )
    for name in names:
        out += _variable_problems(ds[name], FLUXES[name])
    for dim in ds.dims:
        if dim not in DIMENSIONS and dim not in ("bnds", "bounds"):
            out.append(
                Problem(f"dimension {dim}", "is unknown", f"Rename it to one of: {', '.join(DIMENSIONS)}.")
            )
    out += _coordinate_problems(ds)
    out += _time_problems(ds)
    out += _coverage_problems(ds)
    return out


def _declared(da: xr.DataArray, var: FluxVar) -> xr.DataArray:
    """`da` with the table's attributes where it says nothing else; a contradiction stays for validate to name."""
    if not da.attrs.get("units"):
        raise FluxError(
            f"{var.name}: has no units. Set attrs['units'] or use recast(), which converts to {var.units!r}."
        )
    said = {k: da.attrs[k] for k in ("units", "species", "positive", "area_basis") if k in da.attrs}
    return describe_variable(da, var).assign_attrs(said)


def _attribute_problems(ds: xr.Dataset) -> list[Problem]:
    out = []
    approach = ds.attrs.get("approach")
    if approach not in APPROACHES:
        out.append(
            Problem("attribute approach", f"is {approach!r}", f"Set it to one of: {', '.join(APPROACHES)}.")
        )
    if not str(ds.attrs.get("source", "")).strip():
        out.append(Problem("attribute source", "is missing", "Say in words which product or model this is."))
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
    name = da.attrs.get("standard_name")
    if name is not None and name != var.standard_name:
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
    out = []
    if not ds.indexes["time"].is_monotonic_increasing:
        out.append(Problem("coordinate time", "is not in order", "Sort it: ds.sortby('time')."))
    bounds = ds["time"].attrs.get("bounds") or ds["time"].encoding.get("bounds")
    if not bounds or bounds not in ds.variables:
        out.append(
            Problem(
                "coordinate time", "has no bounds", "Add time_bnds (time, bnds) and time.attrs['bounds']."
            )
        )
    elif ds[bounds].shape != (ds.sizes["time"], 2):
        out.append(Problem(f"{bounds}", f"has shape {ds[bounds].shape}", "Expected (time, 2)."))
    return out


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
    if share.size and not bool(((share >= 0) & (share <= 1 + 1e-9)).all()):
        out.append(
            Problem(
                "coverage", f"runs {float(share.min()):g}..{float(share.max()):g}", "Expected 0..1, no NaN."
            )
        )
    return out


def _with_time_bounds(ds: xr.Dataset) -> xr.Dataset:
    if "time" not in ds.indexes:
        return ds  # validate() says what is missing
    if "time_bnds" not in ds.variables:
        bounds = calendar_bounds(ds["time"])
        if bounds is None:
            return ds
        ds = ds.assign_coords(time_bnds=bounds)
    else:
        ds = ds.set_coords("time_bnds")
    ds["time"].attrs.update(bounds="time_bnds", standard_name="time", axis="T")
    return ds


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
    edges = [[_first_of_month(time, int(s)), _first_of_month(time, int(s) + step)] for s in starts]
    return xr.DataArray(np.array(edges), dims=("time", "bnds"), coords={"time": time}, name="time_bnds")


def _first_of_month(time: xr.DataArray, serial: int) -> object:
    year, month = divmod(serial, 12)
    first = time.to_index()[0]
    if np.issubdtype(time.dtype, np.datetime64):
        return np.datetime64(f"{year:04d}-{month + 1:02d}-01", "ns")
    return type(first)(year, month + 1, 1, calendar=first.calendar)
