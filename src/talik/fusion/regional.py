"""Totals of regions from the pixels of a summary, under every assumption on how errors of pixels go together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from talik.errors import CoverageError, GridError, InputError
from talik.fusion.dependence import (
    ALPHAS,
    DRAWS,
    LENGTHS_KM,
    Array,
    Kernel,
    chosen_sums,
    common_quantile,
    copula_sums,
    independent_sums,
    local_field,
)
from talik.fusion.hierarchical import POPULATIONS, Population, Shared, population, shared_members
from talik.fusion.summary import ANNUAL, CURRENCY, MAP_QUALITY, QUALITY, QUANTILES, UNCONVERGED, Fill
from talik.posts.combine import quantiles_with_error
from talik.posts.distributions import TAIL
from talik.regions import land_fraction
from talik.regions.grid import Grid, LatLonGrid, northern_grid
from talik.regions.named import land_weights
from talik.regions.totals import MIN_COVERAGE
from talik.rng import named_rng

OnHole = Literal["error", "nan"]

YEAR_DAYS = 365.25
UNITS = "Tg year-1"
METHODS = ("common quantile", "independent", "kernel copula", "hierarchical")
KEYS = ("region", "variable", "first_year", "last_year", "method", "length_km", "alpha")
_TG = 86_400.0 * YEAR_DAYS * 1e-9
"""Tg year-1 in 1 kg s-1."""
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Areas:
    """Land of each pixel in each region.

    regions : names.     land_m2 : (region, pixel) m2.     region_m2 : (region,) land of the whole region, with what no
    pixel stands for.
    """

    regions: tuple[str, ...]
    land_m2: Array
    region_m2: Array


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is assumed side by side: lengths and common parts of the copula, draws, seed, and the population."""

    lengths_km: tuple[float, ...] = LENGTHS_KM
    alphas: tuple[float, ...] = ALPHAS
    draws: int = DRAWS
    seed: int = 0
    quantiles: tuple[float, ...] = field(default=QUANTILES)
    shared: tuple[Shared, ...] = ()
    """Parameters of a population that all pixels share; none for no row of a hierarchical model."""

    def __post_init__(self) -> None:
        for length_km in self.lengths_km:
            for alpha in self.alphas:
                Kernel(length_km, alpha)
        if self.draws < 1000:
            raise InputError(f"draws is {self.draws}; at least 1000 are needed to see a 2.5 % limit.")


def column(quantile: float) -> str:
    """Name of the column of a quantile: q2.5, q50."""
    return f"q{100 * quantile:g}"


def pixel_grid(summary: xr.Dataset, step_deg: float) -> LatLonGrid:
    """The grid of cells of `step_deg` degrees around the pole whose centres the pixels are.

    GridError: a pixel that is no centre, or two pixels of one cell. The step is not read off the pixels: a region of
    every second cell would seem to have cells of twice the width.
    """
    lat, lon = summary["lat"].to_numpy(), summary["lon"].to_numpy()
    grid = northern_grid(step_deg, float(lat.min()) - step_deg)
    _places(grid, lat, lon, summary["pixel"].to_numpy())
    return grid


def pixel_areas(
    summary: xr.Dataset,
    grid: Grid,
    regions: xr.DataArray | str | Sequence[str] | None = None,
    *,
    land: xr.DataArray | None = None,
) -> Areas:
    """Land of the pixels in regions; without `regions` one of the name "pixels" that is the pixels themselves.

    grid : of the pixels, from `pixel_grid`. regions : as in `talik.regions.named.land_weights`, names or weights of any
    grid. land : share of each cell that is land (0..1), by default that of Natural Earth. What a region has outside the
    pixels counts as land without data.
    """
    share = land_fraction(grid) if land is None else land
    lat, lon = summary["lat"].to_numpy(), summary["lon"].to_numpy()
    rows, columns = _places(grid, lat, lon, summary["pixel"].to_numpy())
    area = grid.cell_area().to_numpy()
    if regions is None:
        own = (share.to_numpy() * area)[rows, columns][None]
        return Areas(("pixels",), own, own.sum(axis=1))
    weights = land_weights(regions, grid, share)
    inside = np.nan_to_num(weights.to_numpy()) * area
    whole = inside.sum(axis=(1, 2))
    if "region_area" in weights.coords:
        whole = np.maximum(whole, weights["region_area"].to_numpy())
    return Areas(tuple(map(str, weights["region"].values)), inside[:, rows, columns], whole)


def regional_table(
    summary: xr.Dataset,
    areas: Areas,
    *,
    variables: Sequence[str] | None = None,
    periods: Sequence[tuple[int, int]] | None = None,
    assumptions: Assumptions | None = None,
    fill: Fill = "none",
    min_coverage: float = MIN_COVERAGE,
    on_hole: OnHole = "nan",
) -> pd.DataFrame:
    """Totals of each region, variable and period in Tg C year-1 (365.25 d), a row for each assumption.

    variables : of the flux table, with its directions (gpp, npp, nbp into the land; ra, rh, nee, fFire out of it); all
    by default, which is without fFire and nbp where nothing is known of fire.
    periods : first and last year, whole calendar years of the summary; by default all of them. fill : "flagged" takes
    pixels that have not converged with the others, "none" leaves them out. The total is over the land with data and is
    not scaled up; where that is less than `min_coverage` of the region's, numbers are NaN, or an error
    (``on_hole="error"``).

    Columns: `KEYS`, ``mean`` (the same in all rows but the hierarchical: means add up whatever the dependence, and a
    population changes what is known of each pixel), quantiles ``q2.5 ...``,
    ``error`` (Monte Carlo standard error, the larger one of the outermost quantiles), ``units``, ``coverage`` (share of
    the region's land), ``pixels`` (that are in the total), ``converged``, ``map_quality``, ``unconverged`` and
    ``failed`` (pixels of the region that are so, in the total or not), ``holes`` (names of the first of those that are
    not in it). ``attrs["hierarchical"]``
    tells the population (parameters, median and 95 % limits of its centre in their units, spread, effective members)
    and the ``reason`` why it is not to be trusted; where there is one the numbers of its rows are NaN. It is None
    where no parameters are shared, and there is no such row.

    InputError: unknown variables, or years that are not there. CoverageError: a hole, where it is an error.
    """
    how = Assumptions() if assumptions is None else assumptions
    chosen = [name for name in CURRENCY if name in summary] if variables is None else variables
    _check(summary, areas, chosen)
    usable = summary["quality"].to_numpy() <= (MAP_QUALITY if fill == "none" else UNCONVERGED)
    counts = [_counted(summary, areas, i, usable) for i in range(len(areas.regions))]
    for region, about in zip(areas.regions, counts, strict=True):
        if on_hole == "error" and about["coverage"] < min_coverage:
            raise CoverageError(
                f"fusion: pixels cover {100 * about['coverage']:.2f} % of the land of {region}; expected at least "
                f"{100 * min_coverage:g} %. Left out: {about['holes'] or 'none; the rest has no pixel'}. Run them "
                "longer, choose a region inside the pixels, or lower min_coverage."
            )
    found_population = _population(summary, usable, how)
    rows: list[dict[str, Any]] = []
    for first, last in _periods(summary, periods):
        members = np.stack([_mean_of(summary[f"{name}{ANNUAL}"], first, last) for name in chosen])
        held = members[:, usable]
        weights = areas.land_m2[:, usable] * _TG
        sums = held.mean(axis=2) @ weights.T
        kinds = [(*one, sums) for one in _assumed(summary, held, weights, usable, how)]
        kinds += _under_population(found_population, held, weights, how)
        for method, length_km, alpha, found, errors, mean in kinds:
            for r, region in enumerate(areas.regions):
                shown = counts[r]["coverage"] >= min_coverage and counts[r]["pixels"] > 0
                for v, name in enumerate(chosen):
                    key = (region, name, first, last, method, length_km, alpha)
                    numbers = {"mean": mean[v, r]} | dict(
                        zip(map(column, how.quantiles), found[v, r], strict=True)
                    )
                    numbers["error"] = errors[v, r]
                    if not shown:
                        numbers = dict.fromkeys(numbers, np.nan)
                    rows.append(dict(zip(KEYS, key, strict=True)) | numbers | {"units": UNITS} | counts[r])
    table = pd.DataFrame(rows).sort_values(["region", "variable", "first_year", "last_year"], kind="stable")
    table = table.reset_index(drop=True)
    table.attrs["hierarchical"] = _told(found_population, how)
    return table


def _assumed(
    summary: xr.Dataset,
    held: Array,
    weights: Array,
    usable: np.ndarray[Any, np.dtype[np.bool_]],
    how: Assumptions,
) -> Iterator[tuple[str, float, float, Array, Array]]:
    """Method, length, alpha, quantiles (variable, region, level) and their error (variable, region), one by one."""
    none = float("nan")
    if held.shape[1] == 0:
        empty = np.full((held.shape[0], weights.shape[0], len(how.quantiles)), np.nan)
        lengths = [("kernel copula", length, alpha) for length in how.lengths_km for alpha in how.alphas]
        for method in (("common quantile", none, none), ("independent", none, none), *lengths):
            yield *method, empty, empty[..., 0]
        return
    common = common_quantile(held, weights, how.quantiles)
    yield "common quantile", none, none, common, np.zeros(common.shape[:2])
    drawn = independent_sums(held, weights, named_rng(how.seed, "independent"), how.draws)
    yield "independent", none, none, *_quantiles(drawn, how)
    lat, lon = (summary[name].to_numpy()[usable] for name in ("lat", "lon"))
    for length_km in how.lengths_km:
        rng = named_rng(how.seed, f"copula {length_km:g} km")
        of_length = copula_sums(held, weights, local_field(lat, lon, length_km), how.alphas, rng, how.draws)
        for alpha, drawn in zip(how.alphas, of_length, strict=True):
            yield "kernel copula", length_km, alpha, *_quantiles(drawn, how)


def _population(
    summary: xr.Dataset, usable: np.ndarray[Any, np.dtype[np.bool_]], how: Assumptions
) -> Population | None:
    """Of the pixels in totals; None where nothing is shared or no pixel is left."""
    if not how.shared or not usable.any():
        return None
    names = [of.name for of in how.shared]
    held = summary["parameters"].sel(parameter=names).transpose("cell", "member", "parameter").to_numpy()
    return population(
        *shared_members(how.shared, held[usable]), named_rng(how.seed, "hierarchical"), how.draws
    )


def _under_population(
    found: Population | None, held: Array, weights: Array, how: Assumptions
) -> list[tuple[str, float, float, Array, Array, Array]]:
    """As `_assumed`, with the mean (variable, region), of the members that a population chose."""
    if not how.shared:
        return []
    none = float("nan")
    shape = (held.shape[0], weights.shape[0])
    if found is None or found.reason:
        empty = np.full(shape, none)
        return [("hierarchical", none, none, np.full((*shape, len(how.quantiles)), none), empty, empty)]
    drawn = chosen_sums(held, weights, found.chosen)
    mean = drawn.mean(axis=2)
    _, errors = _quantiles(drawn[..., :POPULATIONS].copy(), how)
    limits, _ = _quantiles(drawn, how)
    return [("hierarchical", none, none, limits, errors, mean)]


def _told(found: Population | None, how: Assumptions) -> dict[str, Any] | None:
    """The population for a reader, as plain values."""
    if not how.shared:
        return None
    if found is None:
        return {"reason": "no pixel may be used", "parameters": []}
    rows = []
    for k, of in enumerate(how.shared):
        low, middle, high = np.quantile(of.value(found.mean[:, k]), (TAIL, 0.5, 1 - TAIL)).tolist()
        spread = float(np.median(found.spread[:, k]))
        rows.append({"name": of.name, "low": low, "median": middle, "high": high, "spread": spread})
    return {
        "reason": found.reason,
        "parameters": rows,
        "effective_median": float(np.median(found.effective)),
        "effective_least": float(found.effective.min()),
        "poor_pixels": int(found.poor.sum()),
        "noise": found.noise,
    }


def _quantiles(drawn: Array, how: Assumptions) -> tuple[Array, Array]:
    """Quantiles of draws (variable, region, draw), and the larger error of the first and the last."""
    found = [[quantiles_with_error(one, how.quantiles) for one in of_variable] for of_variable in drawn]
    both = np.array(found)
    return both[..., 0], np.maximum(both[..., 0, 1], both[..., -1, 1])


def _mean_of(annual: xr.DataArray, first: int, last: int) -> Array:
    """Mean rate of years from first to last (pixel, member), weighted by their days."""
    chosen = annual.sel(year=slice(first, last)).transpose("cell", "member", "year")
    starts = chosen["year"].to_numpy()
    days = np.array([366.0 if y % 4 == 0 and (y % 100 != 0 or y % 400 == 0) else 365.0 for y in starts])
    return np.asarray(chosen.to_numpy() @ (days / days.sum()))


def _periods(summary: xr.Dataset, periods: Sequence[tuple[int, int]] | None) -> Sequence[tuple[int, int]]:
    years = summary["year"].to_numpy()
    if years.size == 0:
        raise InputError("fusion: the summary has no whole calendar year, so there are no annual totals.")
    if periods is None:
        return [(int(years[0]), int(years[-1]))]
    for first, last in periods:
        if first > last or not set(range(first, last + 1)) <= set(years.tolist()):
            raise InputError(
                f"fusion: period {first}-{last}; the summary has whole years {years[0]}-{years[-1]}. Choose within."
            )
    return periods


def _counted(
    summary: xr.Dataset, areas: Areas, region: int, usable: np.ndarray[Any, np.dtype[np.bool_]]
) -> dict[str, Any]:
    """Coverage of a region, its pixels by quality, and names of those that are left out."""
    quality, land = summary["quality"].to_numpy(), areas.land_m2[region]
    inside = land > 0
    out = np.flatnonzero(inside & ~usable)
    names = [f"{summary['pixel'].values[i]} ({QUALITY[quality[i]]})" for i in out[:_NAMED]]
    rest = f" and {out.size - _NAMED} more" if out.size > _NAMED else ""
    whole = float(areas.region_m2[region])
    return {
        "coverage": min(float(land[usable].sum()) / whole, 1.0) if whole > 0 else 0.0,
        "pixels": int((inside & usable).sum()),
        **{name: int((inside & (quality == k)).sum()) for k, name in enumerate(QUALITY)},
        "holes": ", ".join(names) + rest,
    }


def _check(summary: xr.Dataset, areas: Areas, variables: Sequence[str]) -> None:
    unknown = [name for name in variables if name not in CURRENCY]
    if unknown or not variables:
        raise InputError(
            f"fusion: no variable {', '.join(map(repr, unknown)) or 'chosen'}; choose from {', '.join(CURRENCY)}."
        )
    if absent := [name for name in variables if name not in summary]:
        raise InputError(
            f"fusion: {', '.join(absent)}: nothing is known of fire in this result. Add the driver burned, or say that "
            "nothing burns (none: [burned])."
        )
    if areas.land_m2.shape != (len(areas.regions), summary.sizes["cell"]):
        raise InputError(
            f"fusion: areas of {areas.land_m2.shape[1]} pixels, a summary of {summary.sizes['cell']}. Make both of the "
            "same pixels."
        )


def _places(
    grid: Grid, lat: Array, lon: Array, names: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, np.dtype[np.intp]], np.ndarray[Any, np.dtype[np.intp]]]:
    """Row and column of each pixel."""
    if not isinstance(grid, LatLonGrid):
        raise GridError(f"fusion: pixels stand on a grid of latitude and longitude; found {grid}.")
    west = grid.lon_edges[0]
    east = west + np.mod(lon - west, 360.0)
    rows, columns = (np.abs(c - p[:, None]).argmin(axis=1) for c, p in ((grid.y, lat), (grid.x, east)))
    step = float(np.diff(grid.x_edges)[0])
    off = np.maximum(np.abs(grid.y[rows] - lat), np.abs(grid.x[columns] - east)) > 0.01 * step
    if off.any():
        i = int(np.argmax(off))
        raise GridError(
            f"fusion: pixel {names[i]} at {lat[i]:g}, {lon[i]:g} is no centre of {grid} ({int(off.sum())} such "
            "pixels). Give the step of the pixels; towers have no area and no regional total."
        )
    cell = rows * grid.shape[1] + columns
    found, first = np.unique(cell, return_index=True)
    if found.size < cell.size:
        twice = int(np.setdiff1d(np.arange(cell.size), first)[0])
        raise GridError(f"fusion: pixel {names[twice]} stands in a cell that another has. Leave one out.")
    return rows, columns
