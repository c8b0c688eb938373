"""Stocks of carbon of a model: sums over soil layers with their depths, and one value a year."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import InputError, UnitsError
from talik.regions.axes import BOUNDS
from talik.sources.model_time import Steps, stamps

_YEAR = 12
ONE_METRE = 1.0
_SAME_DEPTH = 1e-3


@dataclass(frozen=True, eq=False)
class Layers:
    """Upper and lower bounds of soil layers, m below the surface, downward: (layer,) each."""

    top: npt.NDArray[np.float64]
    bottom: npt.NDArray[np.float64]

    def thickness(self, dim: str) -> xr.DataArray:
        """m, on the dimension of the layers."""
        return xr.DataArray(self.bottom - self.top, dims=dim)


def layer_bounds(dataset: xr.Dataset, dim: str, path: Path) -> Layers | None:
    """Bounds of the layers along `dim`; None if the file has none.

    UnitsError: bounds in other units than m. InputError: layers that overlap, leave gaps or go up.
    """
    stated = dataset[dim].attrs.get("bounds") if dim in dataset.variables else None
    names = ([stated] if stated else []) + [pattern.format(dim) for pattern in BOUNDS]
    found = next(
        (n for n in names if n in dataset.variables and dataset[n].shape == (dataset.sizes[dim], 2)), None
    )
    if found is None:
        return None
    units = dataset[found].attrs.get(
        "units", dataset[dim].attrs.get("units") if dim in dataset.variables else None
    )
    if units not in ("m", "meter", "metre", "meters", "metres"):
        raise UnitsError(f"{path}: {found} is in {units!r}; expected m. Correct the units of {dim}.")
    edges = np.asarray(dataset[found].values, dtype=np.float64)
    top, bottom = edges.min(axis=1), edges.max(axis=1)
    if not np.allclose(top[1:], bottom[:-1], atol=_SAME_DEPTH):
        raise InputError(
            f"{path}: the layers of {found} do not follow each other downward ({edges[:3].tolist()} ...). Correct them."
        )
    return Layers(top, bottom)


def sum_of_layers(
    data: xr.DataArray, dim: str, layers: Layers | None, name: str, given: set[str]
) -> dict[str, xr.DataArray]:
    """The sum over `dim` as `name`, and `cSoilAbove1m` where a layer ends there and the model does not give it.

    Cells whose top layer has no data have none; a missing deeper layer (rock) adds nothing. attrs: `derivation`,
    `depth_top_m`, `depth_bottom_m` (absent, and said so, without bounds).
    """
    out = {name: _summed(data, dim, data.sizes[dim], layers)}
    if layers is not None and "cSoilAbove1m" not in given:
        ends = np.flatnonzero(np.abs(layers.bottom - ONE_METRE) <= _SAME_DEPTH)
        if ends.size:
            out["cSoilAbove1m"] = _summed(data, dim, int(ends[0]) + 1, layers)
    return out


def annual(data: xr.DataArray, steps: Steps, name: str, notes: list[str]) -> xr.DataArray:
    """One value a year with its time: as it is, or the mean of twelve months weighted by their length.

    InputError: monthly values without a whole year.
    """
    if steps.step == "year":
        time, _ = stamps(steps.first, "year", steps.calendar)
        return data.assign_coords(time=time)
    begin = int((-steps.first[0]) % _YEAR)
    count = (steps.first.size - begin) // _YEAR
    if count < 1:
        raise InputError(f"{name} has {steps.span()}, no whole calendar year. Give files of whole years.")
    whole = slice(begin, begin + count * _YEAR)
    _, bounds = stamps(steps.first[whole], "month", steps.calendar)
    days = (bounds[:, 1] - bounds[:, 0]).dt.total_seconds().drop_vars("time")
    years = {"time": ("time", "month")}
    length = days.coarsen(time=_YEAR).construct(years)
    mean = data.isel(time=whole).coarsen(time=_YEAR).construct(years) * length / length.sum("month")
    mean = mean.sum("month", skipna=False)
    notes.append(f"{name} is monthly: annual means of whole years")
    time, _ = stamps(steps.first[whole][::_YEAR], "year", steps.calendar)
    return mean.assign_coords(time=time).assign_attrs(
        {**data.attrs, "cell_methods": "area: mean where land time: mean"}
    )


def _summed(data: xr.DataArray, dim: str, count: int, layers: Layers | None) -> xr.DataArray:
    part = data.isel({dim: slice(0, count)})
    out = part.sum(dim, skipna=True).where(data.isel({dim: 0}, drop=True).notnull())
    depth: dict[str, object] = {"depth_bounds": "not stated in the file"}
    if layers is not None:
        depth = {"depth_top_m": float(layers.top[0]), "depth_bottom_m": float(layers.bottom[count - 1])}
    return out.drop_vars(dim, errors="ignore").assign_attrs(
        {**data.attrs, "derivation": f"sum of the layers of {data.name}", **depth}
    )
