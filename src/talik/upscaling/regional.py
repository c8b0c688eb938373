"""Regional numbers of the upscaled fluxes with 95 % limits, and what the limits contain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.special import ndtri

from talik.errors import CoverageError
from talik.flux.table import FLUXES
from talik.regions.ellipsoid import to_plane
from talik.regions.grid import EqualAreaGrid, Grid
from talik.regions.masks import fraction_weights
from talik.upscaling.cube.blocks import Domain, MembersPart, YearsPart
from talik.upscaling.error_budget import ErrorGrid, budget_error, error_grid, sample_covariance
from talik.upscaling.error_fit import fit_error_model, largest_share, residuals_of
from talik.upscaling.error_model import REGIONAL, ErrorModel
from talik.upscaling.evaluate import HeldOut
from talik.upscaling.model import Model
from talik.upscaling.settings import Limits
from talik.upscaling.training import Training
from talik.upscaling.trees import Float64

LEVEL = 0.95
UNITS = "Tg C yr-1"
CAREFUL_KM = 1000.0
"""Range of the largest lasting regional error where the fit finds no regional error, and so no range."""
MEMBERS, PLACES = "site bootstrap", "unseen places"
"""Names of the two kinds of error."""
NOT_CONTAINED = (
    "errors that all sites share (instruments, gap filling), the choice of learner and predictors, errors of the "
    "predictors, and how sites differ from where nobody measures"
)
TOLD = {
    MEMBERS: "other sites might have been there: models learnt from sites drawn with replacement",
    PLACES: (
        "what the predictors do not say of a place: the covariance in space and time of held-out errors, summed over "
        "the cells of the region (a part of it is in the site bootstrap too, so limits are rather too wide)"
    ),
}
Contain = Literal["all", "careful", "members"]


@dataclass(frozen=True, eq=False)
class Spread:
    """Standard deviations of a flux in every region, Tg C yr-1, by kind of error."""

    mean: dict[str, Float64]
    """(R,) of the mean of the years."""
    year: dict[str, Float64]
    """(R, years) of each year."""


def annual(sums: Float64, part: YearsPart) -> Float64:
    """(..., years, R) Tg C yr-1 of sums by month (..., months, R) in kg s-1."""
    mass = sums * part.seconds[:, None] * 1e-9
    by_year = mass.reshape(*mass.shape[:-2], -1, 12, mass.shape[-1])
    return np.asarray(by_year.sum(axis=-2))


def member_spread(members: MembersPart, part: YearsPart) -> tuple[Float64, Float64]:
    """(R,) and (R, years) standard deviation over members of the mean of the years and of each year."""
    budgets = annual(members.sums, part)
    mean = np.sqrt(np.diag(sample_covariance(budgets.mean(axis=1))))
    year = np.stack([np.sqrt(np.diag(sample_covariance(b))) for b in budgets.transpose(1, 0, 2)], axis=1)
    return mean, year


@dataclass(frozen=True, eq=False)
class Places:
    """Sums the error of unseen places over regions."""

    limits: Limits
    cells: list[ErrorGrid | None]
    """Each region alone on coarse cells; None for one without area."""
    own: Float64
    """(R,) sum over places of the square of their area, m4."""
    years: tuple[int, int]
    regions: tuple[str, ...]

    @classmethod
    def of(cls, limits: Limits, domain: Domain, grid: Grid, years: tuple[int, int]) -> Places:
        """For the regions of a domain."""
        cells = error_cells(domain, grid, 1e3 * limits.coarse_km)
        return cls(limits, cells, own_squares(domain, limits.pixel_km), years, domain.regions)

    def spread(self, training: Training, held: HeldOut) -> tuple[Float64, Float64, dict[str, Any]]:
        """(R,) standard deviation of the mean of the years and (R,) of a year, Tg C yr-1, and what is told of it."""
        fit = fit_error_model(residuals_of(training, held))
        found = any(fit.model.shares[p] > 0 for p in REGIONAL)
        largest, careful = largest_share(fit, "region", fit.model.range_km if found else CAREFUL_KM)
        wide = place_spread(careful, self.cells, self.own, self.years)
        used = careful if self.limits.contain == "careful" else fit.model
        mean, year = wide if used is careful else place_spread(used, self.cells, self.own, self.years)
        told = {
            "bias_g_m2_month": fit.bias,
            "shares": dict(used.shares),
            "range_km": used.range_km,
            "range_km_fits_nearly_as_well": list(fit.range_km_interval),
            "range_months": used.range_months,
            "sd_g_m2_month": list(used.sd),
            "flags": list(fit.flags),
            "largest_regional_share": largest,
            "sd_with_largest_regional_share": dict(zip(self.regions, map(float, wide[0]), strict=True)),
        }
        return mean, year, told


def not_contained(spread: Spread) -> str:
    """What the limits leave out, in words."""
    without = [] if PLACES in spread.mean else ["what the predictors do not say of a place"]
    return ", ".join([*without, NOT_CONTAINED])


def place_spread(
    model: ErrorModel, cells: Sequence[ErrorGrid | None], own: Float64, years: tuple[int, int]
) -> tuple[Float64, Float64]:
    """(R,) standard deviation of the mean of the years, and (R,) of any one year, Tg C yr-1.

    cells : of each region alone, so regions may overlap. own : (R,) sum over places of area squared, m4.
    """
    mean, year = np.zeros(len(cells)), np.zeros(len(cells))
    for r, one in enumerate(cells):
        if one is None:
            continue
        error = replace(
            budget_error(model, one, years, pixel_m=min(1e3, one.cell_m)), own=own[r : r + 1, None]
        )
        mean[r], year[r] = (math.sqrt(float(c[0, 0])) for c in (error.mean(), error.year()))
    return mean, year


def error_cells(domain: Domain, grid: Grid, coarse_m: float) -> list[ErrorGrid | None]:
    """Each region on coarse cells, None for one without area; larger cells of the grid are split by area."""
    out: list[ErrorGrid | None] = []
    fine = math.sqrt(float(grid.row_area_m2.max())) <= coarse_m * (1 + 1e-9)
    area = np.broadcast_to(grid.row_area_m2[:, None], grid.shape)
    window = None if fine else _window(domain, grid, coarse_m)
    for r, name in enumerate(domain.regions):
        if not domain.areas[:, r].sum() > 0:
            out.append(None)
            continue
        inside = np.nan_to_num(domain.on_grid(domain.areas[:, r], grid))
        share = xr.DataArray(
            np.clip(inside / area, 0.0, 1.0)[None],
            dims=("region", *grid.dims),
            coords={"region": [name], **grid.coords()},
            attrs={"covers": "land"},
        )
        if window is None:
            out.append(error_grid(share, grid, coarse_m=coarse_m))
        else:
            even = fraction_weights(share, window, covers="land", src=grid)
            out.append(error_grid(even, window, coarse_m=coarse_m))
    return out


def own_squares(domain: Domain, pixel_km: float | None) -> Float64:
    """(R,) sum over places of the square of their area, m4; a place is a cell of the cube or a square of `pixel_km`."""
    if pixel_km is None:
        return np.asarray((domain.areas**2).sum(axis=0))
    return np.asarray(domain.areas.sum(axis=0) * (1e3 * pixel_km) ** 2)


def numbers_of(
    flux: str,
    variable: str,
    central: Float64,
    part: YearsPart,
    domain: Domain,
    spread: Spread,
    least_coverage: float,
) -> dict[str, Any]:
    """Regions of a flux: mean of the years and each year with limits; None where predictors cover too little."""
    yearly = annual(central, part)
    years = [int(y) for y in part.months[::12] // 12]
    z = float(ndtri(0.5 + LEVEL / 2))
    area = domain.areas.sum(axis=0)
    out: dict[str, Any] = {}
    for r, region in enumerate(domain.regions):
        enough = domain.coverage[r] >= least_coverage - 1e-9 and area[r] > 0
        sd = {kind: float(v[r]) for kind, v in spread.mean.items()}
        total = math.sqrt(sum(v * v for v in sd.values()))
        each = [math.sqrt(sum(float(v[r, k]) ** 2 for v in spread.year.values())) for k in range(len(years))]
        mean = float(yearly[:, r].mean())
        out[region] = {
            "area_km2": float(area[r] / 1e6),
            "coverage": float(domain.coverage[r]),
            **_limits(mean, z * total, enough),
            "per_area_g_m2_yr": mean * 1e12 / float(area[r]) if enough else None,
            "sd": {**sd, "total": total} if enough else None,
            "annual": [
                {"year": y, **_limits(float(yearly[k, r]), z * each[k], enough, "value")}
                for k, y in enumerate(years)
            ],
        }
    var = FLUXES[variable]
    return {"flux": flux, "variable": variable, "units": UNITS, "positive": var.positive, "regions": out}


def told_of_model(model: Model, held: dict[str, Any] | None) -> dict[str, Any]:
    """Learner, rows and scores of a model, JSON values; scores of single sites are left to the held-out table."""
    metrics = model.facts["metrics"]
    scores = None if metrics is None else {k: v for k, v in metrics.items() if k != "sites"}
    return {
        "learner": model.learner.name,
        "settings": model.learner.model_dump(mode="json"),
        "predictors": model.schema.names,
        "n_rows": model.facts["n_rows"],
        "n_sites": model.facts["n_sites"],
        "dropped": dict(model.facts["dropped"]),
        "cv": None if scores is None else {**scores, "design_note": (held or {}).get("note", "")},
    }


def require_region(found: dict[str, Any], region: str, where: str) -> dict[str, Any]:
    """The numbers of a region; CoverageError if there is none of this name or predictors cover too little of it."""
    if region not in found["regions"]:
        raise CoverageError(
            f"{where}: no region {region!r}; the section has {', '.join(found['regions'])}. Name one of them."
        )
    held: dict[str, Any] = found["regions"][region]
    if held["mean"] is None:
        raise CoverageError(
            f"{where}: predictors cover {100 * held['coverage']:.1f} % of {region}. A total over a hole is no post; "
            "choose another region, or lower least_coverage."
        )
    return held


def _limits(value: float, half: float, enough: bool, name: str = "mean") -> dict[str, Any]:
    if not enough:
        return {name: None, "low": None, "high": None}
    return {name: value, "low": value - half, "high": value + half}


def _window(domain: Domain, grid: Grid, coarse_m: float) -> EqualAreaGrid:
    """Cells of EPSG:6931 that hold all valid cells of a grid of latitude and longitude."""
    valid = np.isfinite(domain.on_grid(np.ones(len(domain.rows)), grid))
    south = float(grid.y_edges[:-1][valid.any(axis=1)].min())
    radius = abs(float(to_plane(np.array([0.0]), np.array([south]))[1][0]))
    half = coarse_m * math.ceil(radius / coarse_m + 1e-9)
    return EqualAreaGrid.epsg6931(coarse_m, x=(-half, half), y=(-half, half))
