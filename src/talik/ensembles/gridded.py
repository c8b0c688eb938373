"""An ensemble of gridded members summarised cell by cell, within a bound on memory that is stated before it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from talik.ensembles.cell_kernels import Running, spread
from talik.ensembles.member_cells import (
    READ_COPIES,
    REGRID_COPIES,
    Land,
    Member,
    Regridding,
    Schedule,
    Source,
    member_means,
    member_of,
    schedule,
)
from talik.errors import ConfigError, CoverageError, GridError
from talik.flux import FluxVar, flux_var
from talik.products.annual import Years, period_label
from talik.regions.grid import Grid

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
NEUTRAL_BAND = 5.0
"""A cell between -5 and 5 g C m-2 a year is neither sink nor source; for net CO2 only."""
NET_CO2 = ("nee", "nep", "nbp")
MEMORY_BYTES = 2**30
Listen = Callable[[int, int], object]
"""Told the number of members read and of all, counted again for each block of rows."""
_FLOAT = 8
_MONTH_ARRAYS = 5
"""Arrays (12, ...) of a block: of the member, of its group, mean and squares, and one while they are pushed."""
_PLAIN_ARRAYS = 16


@dataclass(frozen=True, eq=False)
class CellPlan:
    """What `summarise_cells` will do: its members, years, rows of a block, steps of a read, and the memory they take.

    `peak_bytes` : most memory of arrays, with the result. `blocks` : passes over the members; one is best, because each
    reads its rows of every file.
    """

    members: tuple[Member, ...]
    groups: Mapping[str, tuple[str, ...]]
    years: tuple[int, ...]
    grid: Grid
    rows: int
    steps: Mapping[str, int]
    peak_bytes: int

    @property
    def blocks(self) -> list[slice]:
        """Rows of the grid of each block."""
        height = self.grid.shape[0]
        return [slice(k, min(k + self.rows, height)) for k in range(0, height, self.rows)]


def plan_cells(
    members: Mapping[str, Source],
    variable: str,
    *,
    period: Years | None = None,
    quantiles: Sequence[float] = QUANTILES,
    groups: Mapping[str, str] | None = None,
    grid: Grid | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> CellPlan:
    """How `summarise_cells` will cut the work; reads coordinates and time bounds, no flux. Errors as there."""
    if not members:
        raise ConfigError("an ensemble needs members; found none.")
    var = flux_var(variable)
    held = tuple(member_of(name, members[name], var) for name in sorted(members))
    years = _years(held, period)
    common = _common_grid(held, grid)
    together = _groups(held, groups or {})
    rows, steps, peak = _cut(held, common, len(together), len(quantiles), memory_bytes)
    return CellPlan(held, together, years, common, rows, steps, peak)


def summarise_cells(
    members: Mapping[str, Source],
    variable: str,
    *,
    period: Years | None = None,
    quantiles: Sequence[float] = QUANTILES,
    groups: Mapping[str, str] | None = None,
    neutral_band: float | None = None,
    min_members: int = 2,
    grid: Grid | None = None,
    land_fraction: Land | None = None,
    min_valid: float = 0.5,
    memory_bytes: int = MEMORY_BYTES,
    listen: Listen = lambda _done, _all: None,
) -> xr.Dataset:
    """Statistics over members of the annual mean flux and the seasonal cycle, in every cell.

    members : name to flux dataset (time and the two dimensions of a grid), NumPy, Dask or as `talik.flux.open_flux`
        gives them, or to a function that opens one (``partial(open_flux, path)``); each on its own calendar. Fluxes
        are read piece by piece here, after all checks. The HDF5 library keeps chunks of a file, up to 64 MB, as long
        as it is open: give many files as functions, each of which is closed before the next is read.
    period : first and last year, whole in every member; by default all years that are whole in all of them.
    groups : member to group. Members of a group (submissions of one model) are averaged first, over those that have
        data in the cell; who has none is a group of its own.
    neutral_band : half width of the band around 0 that is neither sink nor source, g m-2 year-1 of the element; by
        default 5 for nee, nep and nbp. Without it other fluxes get no shares.
    min_members : statistics are NaN where fewer groups have data; ``n_groups`` says how many.
    grid : common grid. Needed if members stand on different ones: each is regridded conservatively, step by step;
        `land_fraction` (of a grid) weights a flux per land, and a cell needs data on `min_valid` of its area (land).
    memory_bytes : bound on memory here, with the result and what the HDF5 library keeps of open files, but without
        libraries and overlaps of grids. Blocks of rows and lengths of reads follow from it; see `plan_cells`.

    Returns, all float64 (counts: int64), on the grid: ``mean``, ``sd`` (n - 1) and ``quantiles`` (quantile, ...) of the
    annual flux, g m-2 year-1 in the variable's species and direction; ``n_members``, ``n_groups`` with data;
    ``share_sink``, ``share_neutral``, ``share_source`` of the groups with data; ``month_mean``, ``month_sd``
    (month, ...), g m-2 month-1; the twelve means of monthly members add up to ``mean``. A member without data in any
    step of the period is missing in that cell, never 0. Chunks, blocks, workers and order of members change no byte.

    FluxError: no flux dataset. GridError: different grids and no `grid`. CoverageError: a year is not whole.
    ConfigError: settings, or a bound that one row does not fit in.
    Source: protocols of Hugelius et al. 2024 (groups first, quantiles of members); the neutral band is ours.
    """
    var = flux_var(variable)
    band = _band(var, neutral_band)
    if min_members < 1 or any(not 0.0 <= q <= 1.0 for q in quantiles) or not 0.0 <= min_valid <= 1.0:
        raise ConfigError(
            f"expected min_members of at least 1, quantiles and min_valid within 0..1; found {min_members}, "
            f"{tuple(quantiles)}, {min_valid}."
        )
    plan = plan_cells(
        members,
        variable,
        period=period,
        quantiles=quantiles,
        groups=groups,
        grid=grid,
        memory_bytes=memory_bytes,
    )
    if land_fraction is not None and var.per != "land":
        raise ConfigError(f"{variable!r} is per cell area; leave land_fraction out.")
    schedules = {m.name: schedule(m, plan.years) for m in plan.members}
    job = _Job(plan, var, schedules, tuple(quantiles), band, min_members)
    regridding = Regridding(plan.grid, land_fraction, min_valid, {})
    out = _empty(plan.grid, quantiles, shares=band is not None)
    every = len(plan.blocks) * len(plan.members)
    for k, rows in enumerate(plan.blocks):
        before = k * len(plan.members)
        filled = job.block(rows, regridding, partial(_tell, listen, before, every))
        for name, values in filled.items():
            out[name].data[..., rows, :] = values
    moved = "by land area" if land_fraction else "by the whole area of cells with data"
    return _described(out, job, f"regridded {moved}, data on at least {min_valid:g} of a cell")


def _tell(listen: Listen, before: int, every: int, read: int) -> None:
    listen(before + read, every)


@dataclass(frozen=True, eq=False)
class _Job:
    """What a block needs to know."""

    plan: CellPlan
    var: FluxVar
    schedules: Mapping[str, Schedule]
    quantiles: tuple[float, ...]
    band: float | None
    min_members: int

    def block(
        self, rows: slice, regridding: Regridding, listen: Callable[[int], object]
    ) -> dict[str, NDArray[Any]]:
        """Every variable of the result in `rows`; `listen` is told the number of members read."""
        shape = (rows.stop - rows.start, self.plan.grid.shape[1])
        of_groups = np.zeros((len(self.plan.groups), *shape))
        cycle = Running.empty((12, *shape))
        n_members = np.zeros(shape, np.int64)
        members = {m.name: m for m in self.plan.members}
        read = 0
        for g, names in enumerate(self.plan.groups.values()):
            months = np.zeros((12, *shape))
            whole, monthly = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
            for name in names:
                steps = self.plan.steps[name]
                annual, cyclic = member_means(members[name], self.schedules[name], rows, steps, regridding)
                here = ~np.isnan(annual)
                of_groups[g][here] += annual[here]
                whole += here
                if self.schedules[name].monthly:
                    months[:, here] += cyclic[:, here]
                    monthly += here
                read += 1
                listen(read)
            n_members += whole
            with np.errstate(invalid="ignore"):  # 0 / 0 where no member of the group has data
                of_groups[g] /= whole
                months /= monthly
            cycle.push(months)
        found = spread(of_groups, self.quantiles, self.band or 0.0, self.min_members)
        filled = {
            "mean": found.mean,
            "sd": found.sd,
            "quantiles": found.quantiles,
            "n_members": n_members,
            "n_groups": found.n,
        }
        filled["month_mean"], filled["month_sd"] = cycle.results(self.min_members)
        if self.band is not None:
            upward = self.var.positive == "up"
            filled["share_sink"] = found.below if upward else found.above
            filled["share_neutral"] = found.within
            filled["share_source"] = found.above if upward else found.below
        return filled


def _years(members: Sequence[Member], period: Years | None) -> tuple[int, ...]:
    if period is not None:
        if period[0] > period[1]:
            raise ConfigError(f"expected a period of first and last year; found {period}.")
        return tuple(range(period[0], period[1] + 1))
    common = set.intersection(*(set(m.years) for m in members))
    if not common:
        spans = "; ".join(f"{m.name} {period_label(m.years) if m.years else 'none'}" for m in members[:6])
        raise CoverageError(
            f"no calendar year is whole in all {len(members)} members ({spans}). Leave members out."
        )
    return tuple(sorted(common))


def _common_grid(members: Sequence[Member], grid: Grid | None) -> Grid:
    if grid is not None:
        return grid
    first = members[0]
    for other in members[1:]:
        if other.grid != first.grid:
            raise GridError(
                f"members stand on different grids: {first.name!r} on {first.grid}, {other.name!r} on {other.grid}. "
                "Bring them to one with talik.regions.regrid, or name it: grid=..."
            )
    return first.grid


def _groups(members: Sequence[Member], given: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Group to its members, both in order of names, so that the order they came in does not count."""
    names = [m.name for m in members]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigError(
            f"groups name {', '.join(map(repr, unknown))}, which are no members; members: {', '.join(names)}."
        )
    lone = set(names) - set(given)
    clash = sorted(lone & set(given.values()))
    if clash:
        raise ConfigError(
            f"group {clash[0]!r} has the name of a member outside it. Put the member in, or rename the group."
        )
    of = {n: given.get(n, n) for n in names}
    return {g: tuple(n for n in names if of[n] == g) for g in sorted(set(of.values()))}


def _band(var: FluxVar, given: float | None) -> float | None:
    if given is not None and not given >= 0.0:
        raise ConfigError(f"expected a neutral_band of at least 0 g m-2 year-1; found {given}.")
    return NEUTRAL_BAND if given is None and var.name in NET_CO2 else given


def _cut(
    members: Sequence[Member], grid: Grid, groups: int, quantiles: int, bound: int
) -> tuple[int, dict[str, int], int]:
    """Rows of a block, steps of a read by member, and the bytes that they take with the result."""
    height, width = grid.shape
    result = _FLOAT * (2 * 12 + 7 + quantiles) * height * width
    row = _FLOAT * (2 * groups + 12 * _MONTH_ARRAYS + _PLAIN_ARRAYS + 2 * quantiles) * width
    least = max(_step_bytes(m, grid, 1) * m.together[0] for m in members)
    # files that were given open stay open, one that a function opens is closed before the next
    given = [isinstance(m.source, xr.Dataset) for m in members]
    kept = sum(m.cache for m, stays in zip(members, given, strict=True) if stays)
    kept += max((m.cache for m, stays in zip(members, given, strict=True) if not stays), default=0)
    room = bound - result - kept
    # half for the state of a block, unless one piece of a member needs more
    rows = min(height, max(1, (room - max(least, room // 2)) // row))
    while rows and rows * row + max(_step_bytes(m, grid, rows) * m.together[0] for m in members) > room:
        rows = rows * 3 // 4
    if rows < 1:
        raise ConfigError(
            f"memory_bytes = {bound:,} is too little: the result takes {result:,}, one row of the grid {row:,}, the "
            f"smallest piece of a member {least:,} and chunks of open files {kept:,} bytes. Allow more, chunk the "
            "members finer in time and latitude, or give functions that open them: partial(open_flux, path)."
        )
    left = room - rows * row
    steps, most = {}, 0
    for m in members:
        each = _step_bytes(m, grid, rows)
        length = max(m.together[0], left // each)
        unit = max(m.stored, m.together[0])
        if length > unit:
            length -= length % unit
        steps[m.name] = min(length, m.steps.start.size)
        most = max(most, steps[m.name] * each)
    return rows, steps, result + kept + rows * row + most


def _step_bytes(member: Member, grid: Grid, rows: int) -> int:
    """Memory of one step of a member while it is read for a block of `rows`."""
    height, width = member.grid.shape
    if member.grid != grid:
        return _FLOAT * REGRID_COPIES * (height * width + grid.size)
    loaded = min(height, max(rows, member.together[1]))
    return READ_COPIES * member.itemsize * loaded * width


def _empty(grid: Grid, quantiles: Sequence[float], *, shares: bool) -> xr.Dataset:
    coords = {
        **grid.coords(),
        "quantile": (
            "quantile",
            np.array(quantiles, float),
            {"long_name": "quantile over members", "units": "1"},
        ),
        "month": ("month", np.arange(1, 13), {"long_name": "calendar month"}),
    }
    plain = {
        "mean": (),
        "sd": (),
        "quantiles": ("quantile",),
        "month_mean": ("month",),
        "month_sd": ("month",),
    }
    if shares:
        plain |= dict.fromkeys(("share_sink", "share_neutral", "share_source"), ())
    lengths = {"quantile": len(quantiles), "month": 12, **grid.sizes}
    out = {}
    for name, before in plain.items():
        dims = (*before, *grid.dims)
        out[name] = (dims, np.full([lengths[d] for d in dims], np.nan))
    for name in ("n_members", "n_groups"):
        out[name] = (grid.dims, np.zeros(grid.shape, np.int64))
    return xr.Dataset(out, coords=coords | {"crs": grid.frame()["crs"]})


_MEANING = {
    "mean": "mean over members of annual {}",
    "sd": "standard deviation (n - 1) over members of annual {}",
    "quantiles": "quantiles over members of annual {}",
    "n_members": "members with data in every step",
    "n_groups": "groups with such a member",
    "month_mean": "mean over members of the mean {} of each month",
    "month_sd": "standard deviation (n - 1) over members of the mean {} of each month",
    "share_sink": "share of the groups with data that are a sink",
    "share_neutral": "share of the groups with data that are neither sink nor source",
    "share_source": "share of the groups with data that are a source",
}


def _described(out: xr.Dataset, job: _Job, how_regridded: str) -> xr.Dataset:
    """`out` with units, meaning, and what a reader must know."""
    plan, var = job.plan, job.var
    said = {k: var.attributes[k] for k in ("species", "positive", "area_basis")}
    for name in map(str, out.data_vars):
        units = "1"
        if name in ("mean", "sd", "quantiles"):
            units = "g m-2 year-1"
        elif name.startswith("month_"):
            units = "g m-2 month-1"
        about = {"units": units, "long_name": _MEANING[name].format(var.long_name)}
        out[name].attrs = about | {"grid_mapping": "crs"} | (said if units != "1" else {})
    notes = []
    longer = [m.name for m in plan.members if not job.schedules[m.name].monthly]
    if longer:
        notes.append(f"steps longer than a month, not in month_mean and month_sd: {', '.join(longer)}")
    moved = [m.name for m in plan.members if m.grid != plan.grid]
    if moved:
        notes.append(f"{how_regridded}: {', '.join(moved)}")
    out.attrs = {
        "variable": var.name,
        "period": period_label(plan.years),
        "n_years": len(plan.years),
        "calendars": json.dumps({m.name: m.calendar for m in plan.members}),
        "groups": json.dumps(plan.groups),
        "min_members": job.min_members,
        "notes": notes,
    }
    if job.band is not None:
        out.attrs |= {"neutral_band": job.band, "neutral_band_units": "g m-2 year-1"}
    return out
