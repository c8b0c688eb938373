"""One member of a gridded ensemble: its place on the common grid, its steps, and its means read in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import xarray as xr
from netCDF4 import get_chunk_cache
from numpy.typing import NDArray

from talik.ensembles.cell_kernels import Float64, Ints, add_steps
from talik.errors import CoverageError, FluxError, GridError
from talik.flux import FluxVar, as_units, validate
from talik.products.seasons import ANNUAL, windows
from talik.products.steps import Steps, steps_of, window
from talik.regions import conform, grid_of, regrid
from talik.regions.grid import Grid
from talik.regions.overlaps import Overlap, overlap
from talik.regions.regridding import VALID

Land = Callable[[Grid], xr.DataArray]
"""Gives the land share of the cells of a grid, such as `talik.regions.land_fraction`."""
READ_COPIES = 4
"""Arrays of the size of a piece held side by side while it is read: raw, mask of fill values, decoded, in order."""
REGRID_COPIES = 8
"""The same in float64 while a piece is regridded."""
Source = xr.Dataset | Callable[[], xr.Dataset]
"""A flux dataset, or what opens one, such as ``partial(open_flux, path)``: then no file stays open between reads."""
ROUNDING = 1e-9
"""By how much a share of area may fall short of `min_valid` and still count."""


@dataclass(frozen=True, eq=False)
class Member:
    """A flux of one member: where it is, its grid, its steps and the calendar years that they fill.

    `rows`, `columns` : position in the file of each row and column of the grid. `together` : steps and rows that are
    read at once whatever is asked for, those of the Dask chunks. `stored` : steps in a chunk of the file; `cache` :
    bytes of chunks that the HDF5 library keeps while the file is open.
    """

    name: str
    variable: str
    source: Source
    steps: Steps
    years: tuple[int, ...]
    grid: Grid
    rows: Ints
    columns: Ints
    units: str
    itemsize: int
    together: tuple[int, int]
    stored: int
    cache: int

    @property
    def calendar(self) -> str:
        """Name of the calendar of its time axis."""
        return str(self.steps.time.dt.calendar)

    @contextmanager
    def flux(self) -> Iterator[xr.DataArray]:
        """The flux, (time, rows, columns) as stored; what is opened for it is closed afterwards."""
        with opened(self.source) as ds:
            yield ds[self.variable].transpose("time", *self.grid.dims)


@contextmanager
def opened(source: Source) -> Iterator[xr.Dataset]:
    """The dataset of a source; one that a function opens is closed afterwards, one that was given is left as it is."""
    if isinstance(source, xr.Dataset):
        yield source
        return
    ds = source()
    try:
        yield ds
    finally:
        ds.close()


@dataclass(frozen=True, eq=False)
class Regridding:
    """How members come to a grid that is not theirs; overlaps are kept for the next member on the same grid."""

    grid: Grid
    land_fraction: Land | None
    min_valid: float
    overlaps: dict[Grid, tuple[Overlap, xr.DataArray | None, xr.DataArray | float]]

    def apply(self, values: xr.DataArray, src: Grid) -> NDArray[np.float64]:
        """(time, rows, columns) on the common grid; NaN where data are on less than `min_valid` of a cell's land.

        Without `land_fraction` all of a cell is land.
        """
        if src not in self.overlaps:
            weights = overlap(src, self.grid)
            land = self.land_fraction(src).rename("land") if self.land_fraction else None
            share = 1.0 if land is None else regrid(land, self.grid, src=src, weights=weights)["land"]
            self.overlaps[src] = weights, land, share
        weights, land, share = self.overlaps[src]
        found = regrid(values, self.grid, src=src, weights=weights, valid=land)
        enough = found[VALID] >= self.min_valid * share * (1 - ROUNDING)
        out: NDArray[np.float64] = np.asarray(found[str(values.name)].where(enough).data)
        return out


def member_of(name: str, source: Source, var: FluxVar) -> Member:
    """The member in a flux dataset, checked; reads coordinates, bounds and ``coverage`` only.

    FluxError: no flux dataset, no such variable, more dimensions than time and two of a grid. GridError: no grid.
    """
    with opened(source) as ds:
        if var.name not in ds.data_vars:
            held = ", ".join(map(str, ds.data_vars))
            raise FluxError(
                f"member {name!r}: expected flux variable {var.name!r}; found {held}. Leave the member out."
            )
        try:
            validate(ds)
        except FluxError as err:
            raise FluxError(f"member {name!r}: {err}") from err
        return _member(name, source, ds, var)


def _member(name: str, source: Source, ds: xr.Dataset, var: FluxVar) -> Member:
    flux = ds[var.name]
    try:
        grid = grid_of(flux)
    except GridError as err:
        raise GridError(f"member {name!r}: {err}") from err
    if set(flux.dims) != {"time", *grid.dims}:
        raise FluxError(
            f"member {name!r}: {var.name} has dimensions {', '.join(map(str, flux.dims))}; expected time, "
            f"{' and '.join(grid.dims)}. Select or average the others first."
        )
    steps = steps_of(ds)
    height, width = grid.shape
    places = xr.DataArray(
        np.arange(height * width).reshape(height, width),
        dims=grid.dims,
        coords={d: flux[d] for d in grid.dims},
    )
    order = conform(places, grid).values
    first = grid.dims[0]
    stored = dict(zip(flux.dims, flux.encoding.get("chunksizes") or (), strict=False))
    return Member(
        name=name,
        variable=var.name,
        source=source,
        steps=steps,
        years=tuple(w.year for w in windows(steps, ANNUAL) if w.complete),
        grid=grid,
        rows=order[:, 0] // width,
        columns=order[0] % width,
        units=str(flux.attrs["units"]),
        itemsize=flux.dtype.itemsize,
        together=(1, 1)
        if flux.chunks is None
        else (max(flux.chunksizes["time"]), max(flux.chunksizes[first])),
        stored=int(stored.get("time", 1)),
        cache=min(int(flux.nbytes), int(get_chunk_cache()[0])) if flux.encoding.get("source") else 0,
    )


@dataclass(frozen=True, eq=False)
class Schedule:
    """Which steps of a member count, and for what: see `add_steps` for `month` and `factor`."""

    first: int
    last: int
    factor: Float64
    month: Ints

    @property
    def monthly(self) -> bool:
        """Whether every step that counts lies in one month."""
        return bool((self.month != -1).all())


def schedule(member: Member, years: Sequence[int]) -> Schedule:
    """The steps of `years`, and what turns their rates into the mean amount of a year, g m-2.

    CoverageError: a year is not whole.
    """
    lacking = [y for y in years if y not in member.years]
    if lacking or not years:
        held = f"{member.years[0]}-{member.years[-1]}" if member.years else "none"
        raise CoverageError(
            f"member {member.name!r}: expected every year of the period; {', '.join(map(str, lacking)) or 'all'} "
            f"missing or incomplete, complete lie in {held}. Choose another period, or leave the member out."
        )
    steps = member.steps
    month = np.full(steps.start.size, -2, np.int64)
    for year in years:
        month[window(steps, range(12 * year, 12 * year + 12), year).index] = -1
        for k in range(12):
            inside = window(steps, [12 * year + k], year)
            if inside.complete:
                month[inside.index] = k
    used = np.flatnonzero(month != -2)
    first, last = int(used[0]), int(used[-1]) + 1
    rate = xr.DataArray(1.0, attrs={"units": member.units}, name=member.variable)
    grams = float(as_units(rate, "g m-2 s-1"))
    length = (steps.end - steps.start).astype(np.float64)
    return Schedule(first, last, (length * grams / len(years))[first:last], month[first:last])


def member_means(
    member: Member, plan: Schedule, rows: slice, steps: int, regridding: Regridding
) -> tuple[Float64, Float64]:
    """Mean annual amount (rows, columns) and mean amount of each month (12, rows, columns), g m-2, of grid rows.

    rows : of the grid of `regridding`, to which members on another grid are brought. steps : how many are read at a
    time; it does not change the result. A cell with NaN in any step is NaN. Months are NaN if a step is longer than
    one. FluxError: infinite values.
    """
    shape = (rows.stop - rows.start, regridding.grid.shape[1])
    annual, months = np.zeros(shape), np.zeros((12, *shape))
    with member.flux() as flux:
        for start in range(plan.first, plan.last, steps):
            stop = min(start + steps, plan.last)
            part = slice(start - plan.first, stop - plan.first)
            values = _read(member, flux.isel(time=slice(start, stop)), rows, regridding)
            add_steps(values, plan.factor[part], plan.month[part], annual, months)
            del values  # or it stands beside the next one
    endless = int(np.isinf(annual).sum())
    if endless:
        raise FluxError(
            f"member {member.name!r}: {member.variable} is infinite in {endless} cells; expected numbers, or NaN where "
            "there are no data. Correct the file, or declare its fill value."
        )
    if not plan.monthly:
        months[:] = np.nan
    return annual, months


def _read(member: Member, flux: xr.DataArray, rows: slice, regridding: Regridding) -> NDArray[np.floating]:
    """`flux` of a member as (time, rows, columns) of the common grid, in its order."""
    as_it_is = member.grid == regridding.grid
    chosen = rows if as_it_is else slice(0, member.rows.size)
    wanted = member.rows[chosen]
    low, high = int(wanted.min()), int(wanted.max()) + 1
    first, _ = member.grid.dims
    values = np.asarray(flux.isel({first: slice(low, high)}).compute().data)
    # read in the order of the file, turned in memory: indexing a file by a list reads its chunks again and again
    if not np.array_equal(wanted, np.arange(low, high)):
        values = values[:, wanted - low]
    if not np.array_equal(member.columns, np.arange(member.columns.size)):
        values = values[:, :, member.columns]
    if as_it_is:
        return values
    labelled = xr.DataArray(
        values, dims=("time", *member.grid.dims), coords=member.grid.coords(), name=member.variable
    )
    return regridding.apply(labelled, member.grid)[:, rows]
