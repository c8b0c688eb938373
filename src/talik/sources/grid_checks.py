"""Checks on a NetCDF grid: units, coordinates and calendar, without reading the whole file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from talik.errors import TalikError
from talik.flux.units import as_units, names_species
from talik.regions.axes import BOUNDS, NAMES
from talik.sources.model_profiles import CALENDARS
from talik.sources.predictors import PREDICTORS
from talik.sources.problem import Problem

HUGE = 1e19
"""Values beyond this are an undeclared fill value."""
EVEN = 1e-3
SAMPLE = 1_000_000
"""Values looked at for each variable: those of the first steps."""


def check_grid(path: Path) -> list[Problem]:
    """Every problem of a NetCDF file that would stop or mislead `talik.upscaling.extract`."""
    try:
        dataset = xr.open_dataset(path, engine="netcdf4", decode_times=False)
    except (OSError, ValueError) as err:
        return [Problem("error", "", f"not readable as NetCDF ({err})", "Copy the file again.")]
    with dataset:
        found = _Names(dataset)
        out = [*_coordinates(dataset, found), *_time(dataset, found)]
        for name in found.data:
            out += _variable(dataset[name])
    if not found.data:
        out.append(Problem("error", "", "no variable on the grid", "Is it a file of coordinates only?"))
    return out


class _Names:
    """Which variables of a dataset are axes, bounds and data."""

    def __init__(self, dataset: xr.Dataset) -> None:
        lower = {str(n).lower(): str(n) for n in dataset.variables}
        self.axes = {axis: lower[name] for axis, names in NAMES.items() for name in names if name in lower}
        self.time = [
            str(n)
            for n in dataset.variables
            if " since " in str(dataset[n].attrs.get("units", "")) and dataset[n].ndim == 1
        ]
        bounds = {str(v.attrs["bounds"]) for v in dataset.variables.values() if "bounds" in v.attrs}
        bounds |= {form.format(n) for n in (*self.axes.values(), *self.time) for form in BOUNDS}
        skipped = bounds | set(self.axes.values()) | set(self.time)
        dims = {str(d) for n in self.axes.values() for d in dataset[n].dims}
        self.data = [
            str(n)
            for n, v in dataset.data_vars.items()
            if n not in skipped and dims & set(map(str, v.dims)) and v.dtype.kind in "fiu"
        ]
        self.bounds = bounds & set(map(str, dataset.variables))


def _coordinates(dataset: xr.Dataset, found: _Names) -> Iterator[Problem]:
    axes = found.axes
    flat = {"lat", "lon"} <= set(axes)
    projected = {"x", "y"} <= set(axes)
    if not flat and not projected:
        have = ", ".join(map(str, dataset.variables))
        remedy = "Name the coordinates lat and lon, or y and x with a CF grid mapping."
        yield Problem("error", "", f"no coordinates lat, lon or y, x among {have}", remedy)
        return
    if projected and not flat and not any("grid_mapping" in v.attrs for v in dataset.variables.values()):
        remedy = "Add a CF grid mapping, or give the projection where talik asks for one (crs=)."
        yield Problem(
            "warning", f"{axes['y']}, {axes['x']}", "no grid mapping: the projection is unknown", remedy
        )
    for axis, name in axes.items():
        yield from _axis(dataset[name], axis)
    for name in (n for n in axes.values() if dataset[n].ndim == 1):
        if not {form.format(name) for form in BOUNDS} & found.bounds and not dataset[name].attrs.get(
            "bounds"
        ):
            yield Problem("note", name, "no cell bounds", "They are taken half way between the centres.")


def _axis(values: xr.DataArray, axis: str) -> Iterator[Problem]:
    name = str(values.name)
    numbers = np.asarray(values.values, dtype=np.float64)
    if not values.attrs.get("units"):
        yield Problem("warning", name, "no units", "Set degrees_north, degrees_east or m.")
    if not np.isfinite(numbers).all():
        yield Problem(
            "error",
            name,
            "missing coordinate values",
            "Every cell needs a position.",
            int((~np.isfinite(numbers)).sum()),
        )
        return
    low, high = float(numbers.min()), float(numbers.max())
    limits = {"lat": (-90.0, 90.0), "lon": (-180.0, 360.0)}.get(axis)
    slack = 1e-3
    if limits and not (limits[0] - slack <= low and high <= limits[1] + slack):
        found = f"runs {low:g} to {high:g}; expected {limits[0]:g} to {limits[1]:g}"
        yield Problem("error", name, found, "Are the coordinates swapped, or in metres?")
    if axis == "lon" and high > 180:
        yield Problem("note", name, "runs 0..360", "Nothing to do; it is turned to -180..180.")
    if values.ndim > 1:
        yield Problem(
            "note",
            name,
            "two-dimensional coordinates",
            "Sites can be found on them; totals need a regular grid.",
        )
        return
    steps = np.diff(numbers)
    if steps.size and (np.any(steps == 0) or np.any(np.sign(steps) != np.sign(steps[0]))):
        yield Problem(
            "error", name, "neither ascending nor descending", "Sort the axis and drop repeated values."
        )
    elif steps.size:
        if steps[0] < 0:
            yield Problem("note", name, "descending", "Nothing to do; it is turned.")
        if np.ptp(steps) > EVEN * abs(steps.mean()):
            remedy = "Sites can be found on it; regional totals need even spacing (regrid first)."
            yield Problem("warning", name, "uneven spacing", remedy)


def _time(dataset: xr.Dataset, found: _Names) -> Iterator[Problem]:
    bare = [str(n) for n in dataset.dims if str(n).lower() == "time" and str(n) not in found.time]
    for name in bare:
        what = "no units" if name in dataset.variables else "no values"
        remedy = "Set units such as 'days since 2000-01-01', and the calendar."
        yield Problem("error", name, f"a time axis with {what}", remedy)
    for name in found.time:
        attrs = dataset[name].attrs
        calendar = attrs.get("calendar")
        if calendar is None:
            yield Problem("note", name, "no calendar; standard is assumed", "Set the attribute calendar.")
        elif str(calendar).lower() not in CALENDARS:
            yield Problem(
                "error", name, f"calendar {calendar!r} is unknown", f"One of {', '.join(CALENDARS)}."
            )
        if str(attrs["units"]).split()[0].rstrip("s") in ("month", "year"):
            remedy = "Months and years have no fixed length: write days since."
            yield Problem("warning", name, f"units {attrs['units']!r}", remedy)
        elif np.any(np.diff(np.asarray(dataset[name].values, dtype=np.float64)) <= 0):
            yield Problem("error", name, "time does not ascend", "Sort it and drop repeated steps.")
        if not {form.format(name) for form in BOUNDS} & found.bounds and not attrs.get("bounds"):
            yield Problem(
                "note", name, "no time bounds", "A step is taken for the month (or year) of its stamp."
            )


def _variable(data: xr.DataArray) -> Iterator[Problem]:
    name = str(data.name)
    units = str(data.attrs.get("units", "")).strip()
    if not units and "flag_values" not in data.attrs:
        yield Problem("error", name, "no units", "Set the attribute units; units are never guessed.")
    elif names_species(units):
        remedy = "Write the unit alone ('g m-2 d-1'); the species is said where the variable is described."
        yield Problem("error", name, f"units {units!r} name a species", remedy)
    first = _sample(data)
    present = first[np.isfinite(first)]
    if not present.size:
        remedy = "The first steps may lie before the data start; otherwise check the file."
        yield Problem("warning", name, "no value in the first steps", remedy)
        return
    huge = int((np.abs(present) > HUGE).sum())
    if huge:
        found = f"values to {np.abs(present).max():.3g}"
        yield Problem("error", name, found, "Declare them as _FillValue.", huge)
    known = PREDICTORS.get(name)
    if known is not None and units and not names_species(units) and not huge:
        yield from _predictor(present, name, units)


def _sample(data: xr.DataArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The values of as many first steps as stay under the size of a sample."""
    lead = data.dims[0]
    others = max(data.size // max(data.sizes[lead], 1), 1)
    some = data.isel({lead: slice(0, max(1, SAMPLE // others))}) if data.ndim > 2 else data
    return np.asarray(some.values, dtype=np.float64)


def _predictor(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], name: str, units: str
) -> Iterator[Problem]:
    """A grid named as a predictor must be in its units, or in units that become them."""
    known = PREDICTORS[name]
    try:
        wanted = as_units(xr.DataArray(values, name=name, attrs={"units": units}), known.units).values
    except TalikError as err:
        yield Problem("error", name, str(err), f"The model knows {name} in {known.units}.")
        return
    outside = int(((wanted < known.low) | (wanted > known.high)).sum())
    if outside:
        found = f"{outside} of {wanted.size} values outside {known.low:g} to {known.high:g} {known.units}"
        remedy = "Are the units right, and is the scale factor declared?"
        if 2 * outside > wanted.size:
            yield Problem("error", name, found, remedy, outside)
        else:
            yield Problem("warning", name, found, remedy, outside)
