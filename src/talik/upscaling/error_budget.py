"""Variance of regional budgets from the error covariance, and the sum of all kinds of error of a budget.

An annual budget of region r is B = sum over pixels p and months t of a_p f(p, t). Errors alike over hundreds of
kilometres are summed over coarse cells, each at the centre of its area: sum over cells of A_rp A_sq exp(-d_pq/L).
Errors of one place are those of a pixel of side `pixel_m`: they are drawn anew for every pixel, so a region of area A
has A / pixel_m**2 of them and they add A pixel_m**2 to the sum of squares. Time is summed exactly over months.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import ConfigError, GridError, InputError
from talik.regions.axes import conform, grid_of
from talik.regions.ellipsoid import from_plane, to_plane
from talik.regions.grid import EqualAreaGrid, Grid
from talik.upscaling.distances import unit_vectors
from talik.upscaling.error_model import REGIONAL, ErrorModel, Part, years_months
from talik.upscaling.trees import Float64

TG_PER_G = 1e-12
COARSE_M = 100_000.0
"""Side of the coarse cells. A sum over centres is within 4 % of the integral for ranges of a cell
and more."""
PIXEL_M = 1000.0
BLOCK = 1024
"""Cells whose distances to all others are held at once."""
SUM, BOUND = "term", "wrong bound"


@dataclass(frozen=True, slots=True, eq=False)
class ErrorGrid:
    """Area of disjoint regions on coarse cells."""

    regions: tuple[str, ...]
    lat: Float64
    """(n,) degrees, centre of the area of all regions in the cell."""
    lon: Float64
    area: Float64
    """(regions, n) m2."""
    cell_m: float
    """Side of a cell."""


def error_grid(weights: xr.DataArray, grid: Grid | None = None, *, coarse_m: float = COARSE_M) -> ErrorGrid:
    """Regions on EPSG:6931 cells of `coarse_m`, from region weights of `talik.regions` on any grid at least as fine.

    weights : (region, rows, columns), share of each cell in each region; a cell belongs to the coarse cell that has
    its centre. Regions must not overlap: of those that do, the errors in common are not known from shares of cells.
    Ask for parts and sum them with `BudgetError.with_sums`.

    Raises:
        GridError: regions overlap, have no area, or cells are larger than `coarse_m`.
    """
    if "region" not in weights.dims:
        raise GridError(
            f"weights {weights.name!r}: expected a 'region' dimension; found {', '.join(map(str, weights.dims))}. "
            "Use expand_dims(region=['name'])."
        )
    grid = grid_of(weights) if grid is None else grid
    fine_m = float(np.sqrt(grid.row_area_m2.max()))
    if not 0 < fine_m <= coarse_m * (1 + 1e-9):
        raise GridError(
            f"error grid: the weights have cells of {fine_m:.0f} m, coarse_m is {coarse_m:.0f}; expected the weights "
            "to be as fine. Make them on a finer grid, or raise coarse_m."
        )
    share = np.nan_to_num(conform(weights, grid).transpose("region", *grid.dims).values.astype(float))
    names = tuple(str(r) for r in weights["region"].values)
    if share.sum(axis=0).max() > 1 + 1e-6 or share.min() < -1e-9:
        raise GridError(
            f"regions {', '.join(names)} overlap: their shares of a cell sum to {np.max(share.sum(0)):.3f}; expected "
            "0..1. Give regions that do not overlap, and sum them afterwards (with_sums)."
        )
    kept = share.sum(axis=0) > 0
    area = share[:, kept] * np.broadcast_to(grid.row_area_m2[:, None], grid.shape)[kept]
    if (area.sum(axis=1) <= 0).any():
        raise GridError(
            f"region {names[int(np.argmin(area.sum(axis=1)))]} has no area on {grid}. Widen the grid or drop it."
        )
    x, y = np.meshgrid(grid.x, grid.y)
    if not isinstance(grid, EqualAreaGrid):
        x, y = to_plane(x, y)
    x, y = x[kept], y[kept]
    block = np.column_stack([np.floor(y / coarse_m), np.floor(x / coarse_m)])
    _, of_block = np.unique(block, axis=0, return_inverse=True)
    of_block = of_block.ravel()
    n = int(of_block.max()) + 1
    joined = np.stack([np.bincount(of_block, row, n) for row in area]).astype(np.float64)
    total = joined.sum(axis=0)
    centre = [np.bincount(of_block, area.sum(axis=0) * v, n) / total for v in (x, y)]
    lon, lat = from_plane(*centre)
    return ErrorGrid(names, lat, lon, joined, coarse_m)


@dataclass(frozen=True, slots=True, eq=False)
class BudgetError:
    """Residual error of annual budgets of regions, all together."""

    regions: tuple[str, ...]
    years: tuple[int, ...]
    area: Float64
    """(regions,) m2."""
    near: Float64
    """(regions, regions) sum over cells of area times area times exp(-d/L), m4."""
    own: Float64
    """(regions, regions) sum over pixels of area squared, m4; diagonal for disjoint regions."""
    times: Mapping[Part, Float64]
    """(years, years) share of each part times its sum over months, (g m-2 yr-1)**2."""
    sill: float
    """Variance of one month and place, in units of sd**2."""
    sd_year: tuple[float, float]
    """Root of the sum of sd**2, and sum of sd, over the months of a year, g m-2."""
    pixel_m: float
    notes: tuple[str, ...] = ()

    def combination(self, weights: npt.ArrayLike) -> Float64:
        """(regions, regions) covariance of the sums over years of weight times annual budget.

        weights : (years,): 1 / n for the period mean, 1 and -1 for a change, those of a slope for a trend. Units of
        the weights times (Tg yr-1)**2.
        """
        return sum_of(self.by_part(weights).values())

    def by_part(self, weights: npt.ArrayLike) -> dict[Part, Float64]:
        """The same for each part of the error."""
        w = np.asarray(weights, float)
        if w.shape != (len(self.years),):
            raise InputError(
                f"weights: expected one for each of the {len(self.years)} years; found shape {w.shape}."
            )
        return {
            part: float(w @ k @ w) * TG_PER_G**2 * (self.near if part in REGIONAL else self.own)
            for part, k in self.times.items()
        }

    def mean(self) -> Float64:
        """(regions, regions) covariance of the mean annual budget of the period, (Tg yr-1)**2."""
        return self.combination(np.full(len(self.years), 1 / len(self.years)))

    def year(self) -> Float64:
        """(regions, regions) covariance of the budget of one year, (Tg yr-1)**2; the same for every year."""
        return self.combination(np.eye(len(self.years))[0])

    def trend(self) -> Float64:
        """(regions, regions) covariance of the least-squares slope of annual budgets, (Tg yr-1 per year)**2.

        Raises:
            InputError: fewer than two years.
        """
        if len(self.years) < 2:
            raise InputError(f"trend: expected two years or more; found {self.years[0]} alone.")
        t = np.arange(len(self.years)) - (len(self.years) - 1) / 2
        return self.combination(t / (t @ t))

    def bounds(self) -> dict[str, Float64]:
        """(regions,) SD, Tg yr-1, of the budget of one year if the errors of pixel-months were independent, and if
        they were fully dependent. Neither is an estimate; the truth lies between."""
        root = np.sqrt(self.sill) * TG_PER_G
        return {
            "independent": root * self.sd_year[0] * np.sqrt(np.diag(self.own)),
            "fully dependent": root * self.sd_year[1] * self.area,
        }

    def effective_number(self) -> pd.DataFrame:
        """By region: area (km2), pixels, and independent patches of the error alike in the neighbourhood."""
        patches = self.area**2 / np.diag(self.near)
        return pd.DataFrame(
            {
                "region": self.regions,
                "area_km2": self.area / 1e6,
                "pixels": self.area**2 / np.diag(self.own),
                "patches": patches,
            }
        )

    def with_sums(self, sums: Mapping[str, Sequence[str]]) -> BudgetError:
        """The same with sums of regions added, e.g. {"land": ["alaska", "canada"]}; covariances stay consistent.

        Raises:
            ConfigError: a region is not there, or the name of a sum is taken.
        """
        names, h = _sums(self.regions, sums)
        return replace(
            self, regions=names, area=h @ self.area, near=h @ self.near @ h.T, own=h @ self.own @ h.T
        )


def budget_error(
    model: ErrorModel, cells: ErrorGrid, years: tuple[int, int], *, pixel_m: float = PIXEL_M
) -> BudgetError:
    """Residual error of the annual budgets of all regions of `cells`, for the years first..last.

    pixel_m : side of the area that the error of one place stands for, i.e. of the pixels whose flux the model
    predicts from predictors of that size; the errors of two such pixels share the regional parts only. `place` and its
    like are thus representation error of a pixel, `nugget` of a pixel-month (with the error of the tower's own month,
    which is no error of the budget). A larger pixel gives a larger, more careful, number.

    Raises:
        ConfigError: pixel_m is not above 0, or larger than a coarse cell, or the years are exchanged.
    """
    if not 0 < pixel_m <= cells.cell_m:
        raise ConfigError(
            f"pixel_m: expected 0 < pixel_m <= {cells.cell_m:g} m, the coarse cell; found {pixel_m:g}. Give the side "
            "of a pixel in metres."
        )
    months, weights = years_months(*years)
    notes = []
    if model.range_km * 1e3 < cells.cell_m and any(model.shares[p] > 0 for p in REGIONAL):
        notes.append(
            f"range {model.range_km:.0f} km is below the coarse cell of {cells.cell_m / 1e3:.0f} km: the variance is "
            "too large by more than 4 %; use a finer grid"
        )
    area = cells.area.sum(axis=1)
    sd = np.asarray(model.sd)
    return BudgetError(
        regions=cells.regions,
        years=tuple(range(years[0], years[1] + 1)),
        area=area,
        near=_near(model, cells),
        own=np.diag(area * pixel_m**2),
        times=model.over_time(months, weights),
        sill=model.sill,
        sd_year=(float(np.sqrt((sd**2).sum())), float(sd.sum())),
        pixel_m=pixel_m,
        notes=tuple(notes),
    )


def _near(model: ErrorModel, cells: ErrorGrid) -> Float64:
    at = unit_vectors(cells.lat, cells.lon)
    out = np.zeros((len(cells.regions),) * 2)
    for k in range(0, len(at), BLOCK):
        some = slice(k, k + BLOCK)
        chord = np.sqrt(np.maximum(2 - 2 * at[some] @ at.T, 0))
        rows = np.arange(k, min(k + BLOCK, len(at)))
        chord[rows - k, rows] = 0.0
        out += cells.area[:, some] @ model.spatial(chord) @ cells.area.T
    return np.asarray(0.5 * (out + out.T))


def sample_covariance(budgets: npt.ArrayLike) -> Float64:
    """(regions, regions) covariance, n - 1, of members' budgets (members, regions), (Tg yr-1)**2.

    For a site bootstrap (one row a member) and for the structural term (one row a learner; the central value is one of
    them or their mean, so this is the spread of one learner, not of a mean of learners).

    Raises:
        InputError: fewer than two members, or a budget is not finite.
    """
    b = np.asarray(budgets, float)
    if b.ndim != 2 or len(b) < 2 or not np.isfinite(b).all():
        raise InputError(
            f"budgets: expected finite (members >= 2, regions); found shape {b.shape} with "
            f"{int((~np.isfinite(b)).sum())} not finite. Give one row a bootstrap member or learner."
        )
    d = b - b.mean(axis=0)
    return np.asarray(d.T @ d / (len(b) - 1))


def factor_covariance(
    budgets: npt.ArrayLike, relative_sd: npt.ArrayLike, *, correlation: float = 1.0
) -> Float64:
    """(regions, regions) covariance of an uncertain factor on regional budgets, e.g. of fire.

    budgets : (regions,) Tg yr-1. relative_sd : scalar or (regions,), SD of the factor. correlation : between the
    factors of any two regions, 0..1; 1 (default) is one factor for all, as emission factors and fuel loads of one
    inventory would make it.

    Raises:
        ConfigError: a negative SD, or a correlation outside 0..1.
    """
    b = np.asarray(budgets, float)
    sd = np.broadcast_to(np.asarray(relative_sd, float), b.shape)
    if not 0 <= correlation <= 1 or not (sd >= 0).all() or not np.isfinite(b).all() or b.ndim != 1:
        raise ConfigError(
            f"factor: expected (regions,) finite budgets, relative_sd >= 0 and correlation 0..1; found shape "
            f"{b.shape}, {sd.tolist()}, {correlation}."
        )
    each = b * sd
    return np.asarray(correlation * np.outer(each, each) + (1 - correlation) * np.diag(each**2))


def linear_covariance(sensitivity: npt.ArrayLike, covariance: npt.ArrayLike) -> Float64:
    """(regions, regions) covariance of budgets linear in uncertain coefficients: J C J'.

    sensitivity : (regions, k) change of the budget, Tg yr-1, per unit of a coefficient. covariance : (k, k), e.g.
    `MixedFit.cov_beta` of the post-fire bias (12.13), or that of predictor errors.

    Raises:
        InputError: shapes do not fit.
    """
    j, c = np.asarray(sensitivity, float), np.asarray(covariance, float)
    if j.ndim != 2 or c.shape != (j.shape[1],) * 2:
        raise InputError(
            f"sensitivity and covariance: expected (regions, k) and (k, k); found {j.shape}, {c.shape}."
        )
    return np.asarray(j @ c @ j.T)


@dataclass(frozen=True, slots=True, eq=False)
class ErrorBudget:
    """Kinds of error of regional budgets, independent of each other, each with its covariance between regions."""

    regions: tuple[str, ...]
    terms: Mapping[str, Float64]
    """Name, e.g. site bootstrap, structural, residual, predictor, fire, to a (regions, regions) covariance,
    (Tg yr-1)**2."""
    bounds: Mapping[str, Float64]
    """Name to (regions,) SD, Tg yr-1, shown for comparison and never added."""

    @classmethod
    def of(
        cls,
        regions: Sequence[str],
        terms: Mapping[str, npt.ArrayLike],
        bounds: Mapping[str, npt.ArrayLike] | None = None,
    ) -> ErrorBudget:
        """Checked terms.

        Raises:
            InputError: no term, a wrong shape, or a matrix that is no covariance.
        """
        n, made = len(regions), {}
        if not terms:
            raise InputError("error budget: expected at least one term; found none.")
        for name, values in terms.items():
            c = np.asarray(values, float)
            if c.shape != (n, n) or not np.isfinite(c).all() or not np.allclose(c, c.T, rtol=1e-9):
                raise InputError(
                    f"{name}: expected a finite symmetric ({n}, {n}) covariance, one row a region; found shape "
                    f"{c.shape}. Give covariances, not SDs."
                )
            least = float(np.linalg.eigvalsh(c).min())
            if least < -1e-9 * max(float(np.trace(c)), 1e-300):
                raise InputError(
                    f"{name}: smallest eigenvalue {least:.3g}; a covariance has none below 0. Check how it was made."
                )
            made[name] = c
        shown = {k: np.asarray(v, float) for k, v in (bounds or {}).items()}
        for name, sd in shown.items():
            if sd.shape != (n,) or not (sd >= 0).all():
                raise InputError(f"{name}: expected ({n},) SDs >= 0; found shape {sd.shape}.")
        return cls(tuple(regions), made, shown)

    def total(self) -> Float64:
        """(regions, regions) covariance of all terms together, (Tg yr-1)**2."""
        return sum_of(self.terms.values())

    def sum_sd(self, regions: Sequence[str]) -> float:
        """SD, Tg yr-1, of the sum of some of the regions.

        Raises:
            ConfigError: a region is not there.
        """
        h = _sums(self.regions, {"": regions})[1][-1]
        return float(np.sqrt(h @ self.total() @ h))

    def table(self) -> pd.DataFrame:
        """One row a region and term, and one for the total: region, term, kind, variance (Tg C yr-1)**2, sd, share.

        kind is "term", "total", or "wrong bound" for SDs of pixels summed as independent or fully dependent, which
        have no share.
        """
        total, rows = np.diag(self.total()), []
        for k, region in enumerate(self.regions):
            for name, c in self.terms.items():
                share = c[k, k] / total[k] if total[k] > 0 else np.nan
                rows.append((region, name, SUM, c[k, k], np.sqrt(c[k, k]), share))
            rows.append((region, "total", "total", total[k], np.sqrt(total[k]), 1.0))
            rows += [(region, name, BOUND, sd[k] ** 2, sd[k], np.nan) for name, sd in self.bounds.items()]
        return pd.DataFrame(rows, columns=["region", "term", "kind", "variance", "sd", "share"])


def sum_of(matrices: Iterable[Float64]) -> Float64:
    """Sum of covariances of one shape."""
    return np.asarray(np.sum(np.stack(list(matrices)), axis=0))


def _sums(regions: tuple[str, ...], sums: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], Float64]:
    """Names and (regions + sums, regions) matrix of the regions and their sums."""
    rows = [np.eye(len(regions))]
    for name, parts in sums.items():
        unknown = [p for p in parts if p not in regions]
        if unknown or name in regions or len(set(parts)) != len(parts):
            raise ConfigError(
                f"sum {name!r} of {', '.join(parts)}: expected a new name and known regions, each once; they are "
                f"{', '.join(regions)}."
            )
        rows.append(np.array([[float(r in parts) for r in regions]]))
    return (*regions, *sums), np.vstack(rows)
